"""Images per second of the generator's training: our step beside a step of the original recipe, in one run.

python -m benchmarks.train --out benchmarks/results                          # CPU, 128 px
python -m benchmarks.train --out benchmarks/results --device cuda --size 512 --batch 8
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile, record_function

from agetransformer.cpus import usable_cpus
from agetransformer.networks import GeneratorConfig
from benchmarks.machine import describe_machine, warn_if_busy
from benchmarks.original_step import build_original, original_step
from train.averaging import update_average
from train.batches import draw_batch
from train.config import load_config
from train.data import Faces
from train.forward import edit_at
from train.generator import (
    GeneratorTraining,
    LossWeights,
    Networks,
    Phase,
    build_networks,
    compute_generator_losses,
    train_step,
    update_discriminator,
)
from train.memory import keep_freed_memory

FACES = 64  # random images: the content does not change the cost


@dataclass(frozen=True)
class BenchmarkConfig:
    size: int = 128
    batch: int = 4
    rounds: int = 9  # in each round every path runs, so that a change of the machine's load meets them all
    steps: int = 2  # of each path in a round
    device: str = "cpu"
    config: Path = Path("train/configs/cpu.yaml")  # of our whole recipe


@dataclass(frozen=True)
class Result:
    """What one path, or one part of our step, takes."""

    name: str
    milliseconds: float  # a step, median over the rounds
    quartile1: float
    quartile3: float
    images_per_second: float  # at the median
    times_original: float | None  # median over the rounds of the ratio to the original's step; None for parts


def random_faces(size: int, device: torch.device) -> Faces:
    """Random squares of ages 20..69, half of them female."""
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (FACES, 3, size, size), dtype=torch.uint8, generator=random)
    ages = torch.arange(FACES).remainder(50).float() + 20
    names = tuple(f"{index:03d}" for index in range(FACES))
    return Faces(images.to(device), ages, torch.arange(FACES).remainder(2).float(), names, ages.long(), ages * 0)


def our_recipes(config: BenchmarkConfig) -> dict[str, tuple[GeneratorTraining, Phase]]:
    """Ours with the paper's losses, one V and all; and the whole recipe that a config file trains in the end."""
    whole = replace(
        load_config(GeneratorTraining, config.config), start="", model=GeneratorConfig(config.size, True, 4.0)
    )
    phase = replace(whole.phases[-1], resolution=config.size, batch=config.batch)
    plain = replace(phase, weights=LossWeights())
    paper = replace(whole, phases=(plain,), teachers=(), robust_classifier="", view_jitter=0.0, label_width=0.0, r1=0.0)
    return {
        "ours, the paper's losses": (paper, plain),
        f"ours, {config.config.stem}.yaml": (whole, phase),
    }


def build_paths(config: BenchmarkConfig, device: torch.device) -> dict[str, Callable[[int], object]]:
    """Name -> a function that takes one step, its data included."""
    faces = random_faces(config.size, device)
    weights = torch.ones(FACES)
    paths: dict[str, Callable[[int], object]] = {}

    def add(name: str, training: GeneratorTraining, phase: Phase) -> None:
        nets = build_ours(training, phase, device)
        paths[name] = lambda step: train_step(
            nets, draw_batch(faces, weights, phase.batch, step, training.seed, training.min_gap), phase, training, step
        )

    for name, (training, phase) in our_recipes(config).items():
        add(name, training, phase)
    original = build_original(config.size, device)
    _, phase = our_recipes(config)["ours, the paper's losses"]
    training = GeneratorTraining()

    def plain(step: int) -> object:
        batch = draw_batch(faces, weights, phase.batch, step, training.seed, training.min_gap)
        return original_step(original, batch._replace(images=batch.images.contiguous(), real=batch.real.contiguous()))

    return {"original": plain} | paths


def build_ours(training: GeneratorTraining, phase: Phase, device: torch.device) -> Networks:
    """Our networks with the phase's learning rates."""
    nets = build_networks(training, device)
    for optimizer in (nets.generator_optimizer, nets.discriminator_optimizer):
        for group in optimizer.param_groups:
            group["lr"] = phase.lr * group["scale"]
    return nets


def build_parts(config: BenchmarkConfig, device: torch.device) -> dict[str, Callable[[int], object]]:
    """Name -> one part of the step of our whole recipe, alone."""
    training, phase = list(our_recipes(config).values())[-1]
    nets = build_ours(training, phase, device)
    faces, weights = random_faces(config.size, device), torch.ones(FACES)
    batch = draw_batch(faces, weights, phase.batch, 0, training.seed, training.min_gap)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        reconstruction, edited = (
            image.clone() for image in edit_at(nets.generator, batch.images, batch.ages, batch.targets)
        )

    def generator(step: int) -> None:
        images = nets.edits(batch.images, batch.ages, batch.targets)
        nets.generator_optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(images, [reconstruction, edited])

    def losses(weights: LossWeights) -> None:
        leaf = edited.detach().requires_grad_(True)
        with torch.autocast(device.type, torch.bfloat16):
            terms = compute_generator_losses(nets, batch, leaf, leaf, reconstruction, weights, training, random)
        sum(terms.values()).backward()

    def discriminator(step: int) -> None:
        update_discriminator(nets, edited, batch, 0.0)
        nets.discriminator.requires_grad_(False)
        losses(LossWeights(recon=0.0, age=0.0, gan=1.0))
        nets.discriminator.requires_grad_(True)

    def optimiser(step: int) -> None:
        nets.generator_optimizer.step()
        update_average(nets.average, nets.generator, 0.998)

    generator(0)  # gradients for the optimiser
    names = ("age", "age_robust", "gender")
    readers = replace(LossWeights(recon=0.0, gan=0.0), **{name: getattr(phase.weights, name) for name in names})
    penalties = replace(phase.weights, **dict.fromkeys((*names, "gan"), 0.0))
    return {
        "data": lambda step: draw_batch(faces, weights, phase.batch, step, training.seed, training.min_gap),
        "generator, forward and backward": generator,
        "both V, forward and backward": lambda step: losses(readers),
        "D: its step, and the generator's gradient": discriminator,
        "reconstruction and penalties": lambda step: losses(penalties),
        "generator's optimiser and average": optimiser,
    }


def time_rounds(
    paths: dict[str, Callable[[int], object]], config: BenchmarkConfig, device: torch.device
) -> dict[str, list[float]]:
    """Seconds a step of each path in each round, after one round that is not counted."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    seconds: dict[str, list[float]] = {name: [] for name in paths}
    for index in range(config.rounds + 1):
        for name, take in paths.items():
            wait()
            start = time.perf_counter()
            for step in range(config.steps):
                take(config.steps * index + step)
            wait()
            if index > 0:
                seconds[name].append((time.perf_counter() - start) / config.steps)
    return seconds


def summarise(seconds: dict[str, list[float]], batch: int) -> list[Result]:
    """Medians and quartiles; ratios within each round where the original ran too."""
    results = []
    for name, values in seconds.items():
        q1, median, q3 = np.percentile(values, (25, 50, 75)) * 1e3
        ratio = None
        if "original" in seconds:
            ratio = float(np.median(np.divide(seconds["original"], values)))
        results.append(Result(name, float(median), float(q1), float(q3), batch / float(median) * 1e3, ratio))
    return results


def describe(result: Result) -> str:
    """One line."""
    ratio = "" if result.times_original is None else f", {result.times_original:.2f} x the original"
    return (
        f"{result.name:42s} {result.milliseconds:8.1f} ms [{result.quartile1:.1f}, {result.quartile3:.1f}], "
        f"{result.images_per_second:7.1f} images/s{ratio}"
    )


def profile_step(config: BenchmarkConfig, device: torch.device, folder: Path) -> str:
    """torch.profiler over three steps of our whole recipe: the operators by their own time; and a trace file."""
    name, take = list(build_paths(config, device).items())[-1]
    activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if device.type == "cuda" else [])
    take(0)
    with profile(activities=activities, record_shapes=True) as record:
        for step in range(1, 4):
            with record_function(name):
                take(step)
    record.export_chrome_trace(str(folder / "train-trace.json.gz"))
    key = "self_cuda_time_total" if device.type == "cuda" else "self_cpu_time_total"
    return record.key_averages(group_by_input_shape=True).table(sort_by=key, row_limit=40, max_shapes_column_width=60)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = BenchmarkConfig
    parser.add_argument("--size", type=int, default=default.size, help="image side in pixels (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=default.batch, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=default.rounds, help="default: %(default)s")
    parser.add_argument("--device", default=default.device, help="cpu or cuda (default: %(default)s)")
    parser.add_argument("--config", type=Path, default=default.config, help="our recipe (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="64 px and two rounds: does it run?")
    parser.add_argument("--profile", action="store_true", help="torch.profiler over our step instead of timings")
    parser.add_argument("--out", type=Path, required=True, help="folder for train-DEVICE-SIZE.json, or the profile")
    given = parser.parse_args()
    torch.backends.cudnn.benchmark = True  # as in training, like the next; both paths gain by them
    keep_freed_memory(given.device)
    config = BenchmarkConfig(given.size, given.batch, given.rounds, default.steps, given.device, given.config)
    if given.quick:
        config = replace(config, size=64, rounds=2, steps=1)
    device = torch.device(config.device)
    torch.set_num_threads(usable_cpus())
    given.out.mkdir(parents=True, exist_ok=True)
    if given.profile:
        table = profile_step(config, device, given.out)
        (given.out / "train-profile.txt").write_text(table + "\n")
        print(table)
        return
    load = warn_if_busy()
    paths = summarise(time_rounds(build_paths(config, device), config, device), config.batch)
    parts = summarise(time_rounds(build_parts(config, device), config, device), config.batch)
    for result in (*paths, *parts):
        print(describe(result), flush=True)
    report = describe_machine(config.device) | {
        "threads": torch.get_num_threads(),
        "load_before": load,
        "size": config.size,
        "batch": config.batch,
        "rounds": config.rounds,
        "unit": "milliseconds a step",
        "paths": [asdict(result) for result in paths],
        "parts": [asdict(result) for result in parts],
    }
    path = given.out / f"train-{device.type}-{config.size}.json"
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
