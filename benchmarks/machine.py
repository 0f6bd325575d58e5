"""What the measurements ran on."""

import os
import platform
from pathlib import Path

import torch

from agetransformer.cpus import usable_cpus


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def describe_machine(device: str = "cpu") -> dict[str, object]:
    """For a report: processor, usable CPUs, versions, and the GPU when `device` is one."""
    gpu = {"gpu": torch.cuda.get_device_name(device)} if torch.device(device).type == "cuda" else {}
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    return {"processor": processor(), "cpus": usable_cpus()} | gpu | versions


def warn_if_busy() -> float:
    """The load before a run; what else the machine does makes every figure worse."""
    load = os.getloadavg()[0]
    if load > 0.3:
        print(f"The machine is busy (load {load:.1f}): compare the paths with each other, not with other runs.")
    return load
