"""The rewritten generator in OpenVINO: the fast way on x86-64 CPUs, in bfloat16 and int8 where they have them."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from agetransformer import quantization, rewrites
from agetransformer.cpus import usable_cpus
from agetransformer.networks import Generator
from agetransformer.openvino_models import (
    cache_folder,
    core,
    cpu_settings,
    has_amx,
    has_bfloat16,
    import_openvino,
    load_compiled,
    trace,
)
from agetransformer.quantization import Int8Encoder, quantize
from agetransformer.rewrites import FastDecoder, FastEncoder, FastEncoding, rewrite

if TYPE_CHECKING:
    import openvino

Half = FastEncoder | Int8Encoder | FastDecoder


@dataclass(frozen=True)
class OpenVinoConfig:
    # "f32"; "bf16"; "int8", bf16 with `agetransformer.quantization`; or "auto": the fastest, which is bf16 with AMX,
    # int8 on other processors with bf16 (all of them have the instructions for it), f32 on the rest
    precision: str = "auto"
    threads: int = field(default_factory=usable_cpus)
    cache: Path | None = field(default_factory=cache_folder)  # None: compile at every start


@dataclass(frozen=True)
class OpenVinoEncoding:
    """The maps of a `FastEncoding` as OpenVINO tensors, channels last, in the precision of the computation.

    In int8 those of an `Int8Encoding`.
    """

    features: object  # [1, R/4 + 2, R/4 + 2, 128]
    skip2: object  # [1, R/2, R/2, 64]
    skip1: object  # [1, R, R, 32]
    steps: Tensor | None  # [1, 128] in int8


def input_shapes(module: Half, side: int) -> dict[str, tuple[int, ...]]:
    """The inputs of one half for one age and images of this side, by name."""
    if not isinstance(module, FastDecoder):
        return {"image": (1, 3, side, side)}
    return {
        "features": (1, 128, side // 4 + 2, side // 4 + 2),
        "skip2": (1, 64, side // 2, side // 2),
        "skip1": (1, 32, side, side),
        "w": (1, 128),
    }


def fastest_precision() -> str:
    """ "f32", "bf16" or "int8", as was measured on processors like this one (benchmarks/README.md)."""
    if not has_bfloat16():
        return "f32"
    return "bf16" if has_amx() else "int8"


class OpenVinoBackend:
    """Calls from several threads are safe: each has an inference request of its own."""

    device = torch.device("cpu")

    def __init__(self, generator: Generator, config: OpenVinoConfig | None = None):
        """
        Raises:
            ImportError: OpenVINO is not installed.
            ValueError: no such precision on this processor.
        """
        config = config or OpenVinoConfig()
        self.openvino = import_openvino()
        self.core = core()
        self.resolution = generator.config.resolution
        bfloat16 = has_bfloat16()
        precision = config.precision
        if precision == "auto":
            precision = fastest_precision()
        if precision not in ("int8", "bf16", "f32") or (precision != "f32" and not bfloat16):
            raise ValueError(f"precision {precision!r} is not to be had on this processor; use 'auto' or 'f32'")
        floats = "f32" if precision == "f32" else "bf16"
        self.element_type = getattr(self.openvino.Type, floats)
        self.settings = cpu_settings(floats, config.threads)
        encoder, decoder = quantize(generator) if precision == "int8" else rewrite(generator)
        name = f"openvino-{precision}-{self.resolution}"
        self.encoder = self.load(encoder, config.cache, f"{name}-encoder")
        self.decoder = self.load(decoder, config.cache, f"{name}-decoder")

    def load(self, module: Half, cache: Path | None, name: str) -> "openvino.CompiledModel":
        """The compiled form of one half, from the cache or into it."""
        code = (rewrites, quantization, sys.modules[__name__])
        return load_compiled(name, module, lambda: self.compile(module), self.settings, cache, code)

    def compile(self, module: Half) -> "openvino.CompiledModel":
        """Trace one half at a small size, set the real one and compile it for one age."""
        small = {name: torch.zeros(shape) for name, shape in input_shapes(module, 64).items()}
        model = trace(module, small)
        model.reshape({name: list(shape) for name, shape in input_shapes(module, self.resolution).items()})
        # Between the halves the maps stay as the convolutions want them; planar float32 would be converted twice.
        steps = self.openvino.preprocess.PrePostProcessor(model)
        encoder = not isinstance(module, FastDecoder)
        for index in range(len(FastEncoding._fields)):
            side = steps.output(index) if encoder else steps.input(index)
            side.model().set_layout(self.openvino.Layout("NCHW"))
            side.tensor().set_layout(self.openvino.Layout("NHWC"))
            side.tensor().set_element_type(self.element_type)
        return self.core.compile_model(steps.build(), "CPU", self.settings)

    def encode(self, images: Tensor) -> OpenVinoEncoding:
        """Images [1, 3, R, R] float32 on the CPU -> their encoding."""
        request = self.encoder.create_infer_request()
        pixels = images.contiguous().numpy()  # OpenVINO reads this memory in infer(), so it needs a name until then
        request.set_input_tensor(0, self.openvino.Tensor(pixels, shared_memory=True))
        maps = [self.openvino.Tensor(output.element_type, output.shape) for output in self.encoder.outputs]
        for index, tensor in enumerate(maps):
            request.set_output_tensor(index, tensor)
        request.infer()
        features, skip2, skip1, *steps = maps
        return OpenVinoEncoding(features, skip2, skip1, torch.tensor(steps[0].data) if steps else None)

    def decode(self, encoding: OpenVinoEncoding, w: Tensor) -> Tensor:
        """Channel weights w [A, 128] -> the decoder's output [A, 3, R, R], float32 on the CPU."""
        request = self.decoder.create_infer_request()
        for index, tensor in enumerate((encoding.features, encoding.skip2, encoding.skip1)):
            request.set_input_tensor(index, tensor)
        if encoding.steps is not None:
            w = w * encoding.steps
        outputs = torch.empty(len(w), 3, self.resolution, self.resolution)
        # One age at a time stays in the caches; a batch is no faster and needs its multiple of memory.
        for row, output in zip(w.split(1), outputs.split(1), strict=True):
            weights = row.contiguous().numpy()
            request.set_input_tensor(3, self.openvino.Tensor(weights, shared_memory=True))
            request.set_output_tensor(0, self.openvino.Tensor(output.numpy(), shared_memory=True))
            request.infer()
        return outputs
