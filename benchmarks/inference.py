"""Time and peak memory of face editing on this machine, the original's path and ours side by side.

python -m benchmarks.inference --out benchmarks/results
"""

import argparse
import importlib.util
import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from agetransformer.cpus import usable_cpus
from benchmarks.chart import draw_chart
from benchmarks.machine import describe_machine, warn_if_busy
from benchmarks.paths import InferencePath, build_path, path_names
from benchmarks.timing import Timing

ALL_AGES = (25.0, 35.0, 45.0, 55.0, 65.0)


@dataclass(frozen=True)
class BenchmarkConfig:
    cases: tuple[tuple[int, int], ...] = (
        (256, 1),
        (256, 5),
        (512, 1),
        (512, 5),
        (1024, 1),
        (1024, 5),
    )  # side, ages in a request
    rounds: int = 7  # in each round every path runs once, so that a change of the machine's load meets them all
    slow_rounds: int = 3  # of a path that took more than a second
    slowest_rounds: int = 2  # of one that took more than ten
    checkpoint: Path | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class Result:
    path: str
    size: int
    ages: int
    encode: Timing
    decode: Timing
    total: Timing
    peak_mb: float | None  # of a process that does only this: resident, or on the GPU; None where it is not measured


def run_once(path: InferencePath, image: Tensor, ages: Tensor, device: str) -> tuple[float, float]:
    """Seconds of one encode and of one decode."""
    start = time.perf_counter()
    encoding = path.encode(image)
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    encoded = time.perf_counter()
    path.decode(encoding, ages)
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
    return encoded - start, time.perf_counter() - encoded


def rounds_of(seconds: list[tuple[float, float]], config: BenchmarkConfig) -> int:
    """How many rounds a path takes part in, after its first ones took so long."""
    first = sum(seconds[0]) if seconds else 0.0
    rounds = config.slowest_rounds if first > 10 else config.slow_rounds if first > 1 else config.rounds
    return min(rounds, config.rounds)


@torch.inference_mode()
def time_paths(
    names: list[str], size: int, count: int, config: BenchmarkConfig
) -> dict[str, list[tuple[float, float]]]:
    """(encode, decode) seconds of each path in each round, after two short ones that are not counted."""
    paths = {name: build_path(name, size, config.checkpoint, config.device) for name in names}
    image = torch.rand(1, 3, size, size) * 2 - 1
    ages = torch.tensor(ALL_AGES[:count])
    for path in paths.values():
        # A CUDA graph is recorded in the second call of a shape; a CPU needs no more than the libraries' first call.
        for warm_up in (ages[:1], ages[:1]) if config.device == "cpu" else (ages, ages, ages):
            run_once(path, image, warm_up, config.device)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for index in range(config.rounds):
        for name, path in paths.items():
            if index < rounds_of(seconds[name], config):
                seconds[name].append(run_once(path, image, ages, config.device))
    return seconds


@torch.inference_mode()
def peak_memory(name: str, size: int, count: int, config: BenchmarkConfig) -> float | None:
    """Peak memory in MB of one run: of this process, to be called in a fresh one, or of PyTorch on a GPU."""
    path = build_path(name, size, config.checkpoint, config.device)
    image = torch.rand(1, 3, size, size) * 2 - 1
    for _ in range(1 if config.device == "cpu" else 3):  # graphs are recorded in the second call
        path.decode(path.encode(image), torch.tensor(ALL_AGES[:count]))
    if torch.device(config.device).type == "cuda":
        return torch.cuda.max_memory_allocated(config.device) / 2**20
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


def measure(config: BenchmarkConfig, keep: Callable[[list[Result]], None]) -> None:
    """Run all cases; after each, `keep` gets what there is, so that a run that is cut short leaves something."""
    names = path_names(config.device)
    results: list[Result] = []
    for size, count in config.cases:
        timings = time_paths(names, size, count, config)
        for name in names:
            peak = None
            if count > 1 and (name == "original" or name.startswith("ours")):
                # A process of its own: the peak of one path must not hide behind another's.
                with multiprocessing.get_context("spawn").Pool(1) as pool:
                    peak = pool.apply(peak_memory, (name, size, count, config))
            encode, decode = (list(part) for part in zip(*timings[name], strict=True))
            total = Timing.of([sum(pair) for pair in timings[name]])
            results.append(Result(name, size, count, Timing.of(encode), Timing.of(decode), total, peak))
            print(describe(results[-1], results), flush=True)
        keep(results)


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


def measure_steps(config: BenchmarkConfig) -> list[dict]:
    """The steps around the network at each size of `config.cases`; none where MediaPipe, which finds faces, is not."""
    if importlib.util.find_spec("mediapipe") is None:
        print("MediaPipe is not installed: the steps around the network are not timed.")
        return []
    from benchmarks.steps import describe_steps, time_steps

    times = [time_steps(size, config.rounds) for size in sorted({size for size, _ in config.cases})]
    for each in times:
        print(describe_steps(each), flush=True)
    return [asdict(each) for each in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases", nargs="+", metavar="SIDE:AGES", help="default: 256:1 256:5 512:1 512:5 1024:1 1024:5"
    )
    parser.add_argument("--rounds", type=int, default=BenchmarkConfig.rounds)
    parser.add_argument("--quick", action="store_true", help="256 px and two rounds: does it run?")
    parser.add_argument("--checkpoint", type=Path, help="a generator's folder; without it the weights are random")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda for PyTorch on a GPU")
    parser.add_argument("--out", type=Path, required=True, help="folder for inference.json and inference.png")
    arguments = parser.parse_args()
    config = BenchmarkConfig(
        cases=((256, 1), (256, 5)) if arguments.quick else parse_cases(arguments.cases) or BenchmarkConfig.cases,
        rounds=2 if arguments.quick else arguments.rounds,
        checkpoint=arguments.checkpoint,
        device=arguments.device,
    )
    machine = describe_machine(config.device)
    torch.set_num_threads(usable_cpus())
    load = warn_if_busy()
    stem = "inference" if config.device == "cpu" else "inference-gpu"
    arguments.out.mkdir(parents=True, exist_ok=True)
    steps = measure_steps(config)

    def keep(results: list[Result]) -> None:
        report = machine | {
            "load_before": load,
            "rounds": config.rounds,
            "slow_rounds": config.slow_rounds,
            "slowest_rounds": config.slowest_rounds,
            "unit": "seconds",
            "steps": steps,
            "results": [asdict(result) for result in results],
        }
        (arguments.out / f"{stem}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        draw_chart(report, arguments.out / f"{stem}.png")

    measure(config, keep)


def parse_cases(texts: list[str] | None) -> tuple[tuple[int, int], ...]:
    """["512:5"] -> ((512, 5),)"""
    return tuple((int(side), int(ages)) for side, ages in (text.split(":") for text in texts or []))


if __name__ == "__main__":
    main()
