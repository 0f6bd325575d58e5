"""How many CPUs this process may use: its affinity mask and its container's limit."""

import math
import os
from pathlib import Path


def cgroup_limit(folder: Path) -> float:
    """CPUs that the control group mounted at `folder` (version 2, or 1) allows; infinity when it sets no limit."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (folder / "cpu" / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu" / "cpu.cfs_period_us").read_text()
        except OSError:
            return math.inf
    if quota == "max" or int(quota) <= 0:
        return math.inf
    return int(quota) / int(period)


def usable_cpus(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """CPUs to start threads for, at least 1. More threads than that only wait for each other."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(min(affinity, cgroup_limit(cgroup))))


def limit_threads() -> None:
    """Let PyTorch start no more threads than that; by itself it follows the affinity mask alone."""
    import torch  # here, because processes that only find faces do without

    torch.set_num_threads(min(torch.get_num_threads(), usable_cpus()))
