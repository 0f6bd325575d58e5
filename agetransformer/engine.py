"""Fast inference with a generator: encode an image once, decode it at any ages, on the best backend at hand."""

import copy
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from agetransformer import openvino_models
from agetransformer.cpus import limit_threads
from agetransformer.networks import Generator, finish
from agetransformer.openvino_backend import OpenVinoBackend, OpenVinoEncoding
from agetransformer.rewrites import FastEncoding
from agetransformer.torch_backend import TorchBackend, TorchBackendConfig

Backend = Literal["auto", "torch", "openvino"]


class HalvesBackend(Protocol):
    """What both backends do; an encoding goes back to the backend that made it."""

    device: torch.device  # where it wants images and leaves its outputs

    def encode(self, images: Tensor) -> Any: ...
    def decode(self, encoding: Any, w: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class EngineEncoding:
    """An encoded image; a value that any number of `Engine.decode` calls may read."""

    image: Tensor  # [1, 3, R, R], the input, on the backend's device
    maps: FastEncoding | OpenVinoEncoding


class Engine:
    """A generator in its fast form. It keeps no state between calls and may be called from several threads."""

    def __init__(self, generator: Generator, device: str = "cpu", backend: Backend | HalvesBackend = "auto"):
        """
        Args:
            generator: it is copied; its config's resolution is the one that the engine takes.
            device: of PyTorch; OpenVINO runs on "cpu" only.
            backend: "auto" is OpenVINO on a CPU where that is faster, else PyTorch; or one that was made of this
                generator, with a config of its own.
        Raises:
            ImportError: OpenVINO is asked for and not installed.
            ValueError: no such backend, or OpenVINO with another device.
        """
        on_cpu = torch.device(device).type == "cpu"
        if backend == "auto":
            backend = "openvino" if on_cpu and openvino_models.available() else "torch"
        generator = copy.deepcopy(generator).cpu().eval()
        self.resolution = generator.config.resolution
        self.config = generator.config
        self.modulation = generator.modulation
        self.backend: HalvesBackend
        if not isinstance(backend, str):
            self.backend = backend
        elif backend == "torch":
            self.backend = TorchBackend(generator, TorchBackendConfig.best(device))
        elif backend != "openvino":
            raise ValueError(f"unknown backend {backend!r}; use 'auto', 'torch' or 'openvino'")
        elif not on_cpu:
            raise ValueError(f"OpenVINO runs on the CPU only, not on {device!r}; use backend='torch' there")
        else:
            self.backend = OpenVinoBackend(generator)
        if self.backend.device.type == "cpu":
            limit_threads()  # with OpenVINO too: what stands around the generator runs in PyTorch

    @torch.inference_mode()
    def encode(self, images: Tensor) -> EngineEncoding:
        """An image [1, 3, R, R] float32 in [-1, 1], R the generator's resolution -> its encoding.

        Raises:
            ValueError: another shape.
        """
        expected = (1, 3, self.resolution, self.resolution)
        if tuple(images.shape) != expected:
            raise ValueError(f"an image of shape {expected} is needed, not {tuple(images.shape)}; resize it first")
        images = images.detach().to(self.backend.device)
        return EngineEncoding(images, self.backend.encode(images))

    @torch.inference_mode()
    def decode(self, encoding: EngineEncoding, ages: Tensor) -> Tensor:
        """Ages [A] in years -> edited images [A, 3, R, R] float32 on the CPU, about [-1, 1], not clamped."""
        outputs = self.backend.decode(encoding.maps, self.modulation(ages.cpu()))
        # In float32 here, so that what the edit leaves alone stays exact in half precision too.
        return to_host(finish(encoding.image, outputs.float(), self.config))


def to_host(images: Tensor) -> Tensor:
    """On the CPU; from a GPU through pinned memory, which takes a fraction of the time that other memory takes."""
    copy = images.to("cpu", non_blocking=True)
    if images.is_cuda:
        torch.cuda.current_stream(images.device).synchronize()
    return copy
