"""The ways from an image and some ages to edited images that `benchmarks.inference` compares."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agetransformer import openvino_models
from agetransformer.checkpoint import load_checkpoint
from agetransformer.engine import Engine
from agetransformer.networks import Generator, GeneratorConfig
from agetransformer.openvino_backend import OpenVinoBackend, OpenVinoConfig
from agetransformer.torch_backend import TorchBackend, TorchBackendConfig


@dataclass(frozen=True)
class InferencePath:
    """Two steps, timed apart; together they turn an image [1, 3, R, R] and ages [A] into images [A, 3, R, R]."""

    encode: Callable[[Tensor], Any]
    decode: Callable[[Any, Tensor], Tensor]


def match_histogram(images: Tensor, template: Tensor) -> Tensor:
    """Give each channel of `images` [1, 3, H, W] the values of the same channel of `template`, rank by rank."""
    ranks = images.flatten(2).argsort(dim=2)
    values = template.flatten(2).sort(dim=2).values
    return torch.empty_like(values).scatter_(2, ranks, values).view_as(images)


def original_path(generator: Generator) -> InferencePath:
    """As first published: for each age one encode, two decodes and a histogram match over full sorts."""

    def edit(image: Tensor, age: Tensor) -> Tensor:
        encoding = generator.encode(image)
        generator.decode(encoding, age)
        return match_histogram(generator.decode(encoding, age), image)

    return InferencePath(lambda image: image, lambda image, ages: torch.cat([edit(image, age[None]) for age in ages]))


def naive_path(generator: Generator) -> InferencePath:
    """For each age the whole generator."""
    return InferencePath(lambda x: x, lambda x, ages: torch.cat([generator(x, age[None]) for age in ages]))


def encode_once_path(generator: Generator) -> InferencePath:
    """The plain generator: one encode, then one decode an age."""
    return InferencePath(
        generator.encode, lambda encoding, ages: torch.cat([generator.decode(encoding, age[None]) for age in ages])
    )


def rewritten_path(generator: Generator, backend: TorchBackend | OpenVinoBackend) -> InferencePath:
    """The rewritten generator."""
    engine = Engine(generator, backend=backend)
    return InferencePath(engine.encode, engine.decode)


def on_device(device: str, path: Callable[[Generator], InferencePath]) -> Callable[[Generator], InferencePath]:
    """A path of plain PyTorch on a device: its images and ages go there, its results come back."""

    def build(generator: Generator) -> InferencePath:
        moved = path(generator.to(device))
        return InferencePath(
            lambda image: moved.encode(image.to(device)),
            lambda encoding, ages: moved.decode(encoding, ages.to(device)).cpu(),
        )

    return build


def builders(device: str) -> dict[str, Callable[[Generator], InferencePath]]:
    """The paths that this machine can run on a device, by name."""
    paths = {
        "original": on_device(device, original_path),
        "naive": on_device(device, naive_path),
        "encode once": on_device(device, encode_once_path),
        "ours, PyTorch": lambda g: rewritten_path(g, TorchBackend(g, TorchBackendConfig.best(device))),
    }
    if device != "cpu" or not openvino_models.available():
        return paths
    precisions = ["f32", "bf16", "int8"] if openvino_models.has_bfloat16() else ["f32"]
    return paths | {f"ours, OpenVINO {precision}": in_openvino(precision) for precision in precisions}


def in_openvino(precision: str) -> Callable[[Generator], InferencePath]:
    return lambda g: rewritten_path(g, OpenVinoBackend(g, OpenVinoConfig(precision=precision)))


def path_names(device: str) -> list[str]:
    return list(builders(device))


def build_path(name: str, resolution: int, checkpoint: Path | None, device: str) -> InferencePath:
    """One path at one resolution; with random weights when there is no checkpoint, which costs the same."""
    if checkpoint is None:
        torch.manual_seed(0)  # the same weights in every process, so that what is compiled can be reused
        generator = Generator(GeneratorConfig(resolution)).eval()
    else:
        generator = load_checkpoint(Generator, GeneratorConfig, checkpoint)
        generator.config = replace(generator.config, resolution=resolution)
    return builders(device)[name](generator)
