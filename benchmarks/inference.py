"""Time and peak memory of face editing on this machine's CPU, the original's path and ours side by side.

python -m benchmarks.inference --out benchmarks/results
"""

import argparse
import json
import multiprocessing
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from agetransformer.cpus import usable_cpus
from benchmarks.chart import draw_chart
from benchmarks.paths import build_path, path_names

ALL_AGES = (25.0, 35.0, 45.0, 55.0, 65.0)


@dataclass(frozen=True)
class BenchmarkConfig:
    sizes: tuple[int, ...] = (256, 512, 1024)
    counts: tuple[int, ...] = (1, 5)  # ages in a request
    rounds: int = 7  # in each round every path runs once, so that a change of the machine's load meets them all
    checkpoint: Path | None = None


@dataclass(frozen=True)
class Timing:
    """Seconds over the rounds."""

    median: float
    quartile1: float
    quartile3: float

    @staticmethod
    def of(seconds: list[float]) -> "Timing":
        q1, median, q3 = np.percentile(seconds, (25, 50, 75))
        return Timing(float(median), float(q1), float(q3))


@dataclass(frozen=True)
class Result:
    path: str
    size: int
    ages: int
    encode: Timing
    decode: Timing
    total: Timing
    peak_mb: float | None  # of a process that does only this, or None where the system does not tell


def time_paths(
    names: list[str], size: int, count: int, config: BenchmarkConfig
) -> dict[str, list[tuple[float, float]]]:
    """(encode, decode) seconds of each path in each round, after one round that is not counted."""
    paths = {name: build_path(name, size, config.checkpoint) for name in names}
    image = torch.rand(1, 3, size, size) * 2 - 1
    ages = torch.tensor(ALL_AGES[:count])
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for index in range(config.rounds + 1):
        for name, path in paths.items():
            with torch.inference_mode():
                start = time.perf_counter()
                encoding = path.encode(image)
                encoded = time.perf_counter()
                path.decode(encoding, ages)
                end = time.perf_counter()
            if index > 0:
                seconds[name].append((encoded - start, end - encoded))
    return seconds


def peak_memory(name: str, size: int, count: int, checkpoint: Path | None) -> float | None:
    """Peak resident memory in MB of this process after one warm-up and one run. To be called in a fresh process."""
    path = build_path(name, size, checkpoint)
    image = torch.rand(1, 3, size, size) * 2 - 1
    with torch.inference_mode():
        for _ in range(2):
            path.decode(path.encode(image), torch.tensor(ALL_AGES[:count]))
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


def measure(config: BenchmarkConfig) -> list[Result]:
    names = path_names()
    results = []
    for size in config.sizes:
        for count in config.counts:
            timings = time_paths(names, size, count, config)
            for name in names:
                # A process of its own: the peak of one path must not hide behind another's.
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    peak = pool.apply(peak_memory, (name, size, count, config.checkpoint))
                encode, decode = (list(part) for part in zip(*timings[name], strict=True))
                total = Timing.of([sum(pair) for pair in timings[name]])
                results.append(Result(name, size, count, Timing.of(encode), Timing.of(decode), total, peak))
                print(describe(results[-1], results), flush=True)
    return results


def describe(result: Result, results: list[Result]) -> str:
    """One line, with the speed relative to the original's path at the same size and ages."""
    original = next(r for r in results if (r.path, r.size, r.ages) == ("original", result.size, result.ages))
    peak = "" if result.peak_mb is None else f", peak {result.peak_mb:5.0f} MB"
    return (
        f"{result.size:4d} px, {result.ages} ages, {result.path:20s} {result.total.median * 1e3:8.1f} ms "
        f"[{result.total.quartile1 * 1e3:.1f}, {result.total.quartile3 * 1e3:.1f}] "
        f"= encode {result.encode.median * 1e3:.1f} + decode {result.decode.median * 1e3:.1f}, "
        f"{original.total.median / result.total.median:5.1f} x{peak}"
    )


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=BenchmarkConfig.sizes, help="image sides in pixels")
    parser.add_argument("--counts", type=int, nargs="+", default=BenchmarkConfig.counts, help="ages in a request, 1..5")
    parser.add_argument("--rounds", type=int, default=BenchmarkConfig.rounds)
    parser.add_argument("--quick", action="store_true", help="256 px and two rounds: does it run?")
    parser.add_argument("--checkpoint", type=Path, help="a generator's folder; without it the weights are random")
    parser.add_argument("--out", type=Path, required=True, help="folder for inference.json and inference.png")
    arguments = parser.parse_args()
    config = BenchmarkConfig(
        sizes=(256,) if arguments.quick else tuple(arguments.sizes),
        counts=tuple(arguments.counts),
        rounds=2 if arguments.quick else arguments.rounds,
        checkpoint=arguments.checkpoint,
    )
    cpus = usable_cpus()
    torch.set_num_threads(cpus)
    # Before the run: what else the machine does makes every figure worse.
    load = os.getloadavg()[0]
    if load > 0.3:
        print(f"The machine is busy (load {load:.1f}): compare the paths with each other, not with other runs.")
    results = measure(config)
    arguments.out.mkdir(parents=True, exist_ok=True)
    report = {
        "processor": processor(),
        "cpus": cpus,
        "load_before": load,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "rounds": config.rounds,
        "unit": "seconds",
        "results": [asdict(result) for result in results],
    }
    (arguments.out / "inference.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    draw_chart(report, arguments.out / "inference.png")


if __name__ == "__main__":
    main()
