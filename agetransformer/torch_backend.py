"""The rewritten generator in PyTorch: any device; on a GPU in half precision, with all ages as one batch."""

import importlib.util
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from agetransformer.bordered import BorderedDecoder, BorderedEncoder
from agetransformer.graphs import Graphed
from agetransformer.networks import Generator
from agetransformer.rewrites import FastDecoder, FastEncoder, FastEncoding, FastNorm, RewriteConfig, rewrite

_LOG = logging.getLogger(__name__)
_SLOWER = "editing without Triton's kernels, which takes longer: %s"


@dataclass(frozen=True)
class TorchBackendConfig:
    device: str = "cpu"
    precision: torch.dtype = torch.float32  # of the convolutions; norms add up in float32
    channels_last: bool = False
    ages_at_once: int = 1  # ages decoded as one batch; memory grows with it
    graphs: bool = False  # replay CUDA graphs instead of launching kernel by kernel
    rewrites: RewriteConfig = field(default_factory=RewriteConfig)
    bordered: bool = False  # in the form of `agetransformer.bordered`, which stays channels last
    fused: bool = False  # and in that of `agetransformer.fused` for as long as Triton can compile it

    @staticmethod
    def best(device: str) -> "TorchBackendConfig":
        """What suits the device: a CPU keeps one age at a time in its caches, a GPU wants them all at once."""
        if torch.device(device).type == "cpu":
            return TorchBackendConfig(device)
        return TorchBackendConfig(
            device,
            precision=torch.float16,  # as fast as bfloat16, and a fifth of its error
            channels_last=True,
            ages_at_once=10,
            graphs=torch.device(device).type == "cuda",
            rewrites=RewriteConfig(row_pairs=False, row_sums=False, block=4),
            bordered=True,
            fused=torch.device(device).type == "cuda" and importlib.util.find_spec("triton") is not None,
        )


class Preferred(nn.Module):
    """`first`, or `second` from the first failure on, which is logged; too little memory is not one."""

    def __init__(self, first: nn.Module, second: nn.Module):
        super().__init__()
        self.first = first
        self.second = second
        self._works = True

    def forward(self, *inputs: Tensor) -> Any:
        if self._works:
            try:
                return self.first(*inputs)
            except Exception as error:  # Triton's many: no C compiler, a GPU that is too old, a folder it cannot write
                recording = torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()
                if recording or _is_want_of_memory(error):
                    raise
                self._works = False
                _LOG.warning(_SLOWER, error)
        return self.second(*inputs)


def _is_want_of_memory(error: Exception) -> bool:
    """Of PyTorch, Triton, cuDNN or cuBLAS."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error) or "ALLOC_FAILED" in str(error)


def in_a_tuple(function: Callable[..., Tensor]) -> Callable[..., tuple[Tensor]]:
    """The function with its result as the only one of a tuple, which is what `Graphed` records."""
    return lambda *inputs: (function(*inputs),)


def fused_halves(
    encoder: FastEncoder, decoder: FastDecoder, others: tuple[nn.Module, nn.Module]
) -> tuple[nn.Module, nn.Module]:
    """In the form of `agetransformer.fused`, or `others` where that fails."""
    try:
        from agetransformer.fused import FusedDecoder, FusedEncoder  # Triton, only where it is used
    except Exception as error:  # a Triton that does not go with this PyTorch or Python
        _LOG.warning(_SLOWER, error)
        return others
    return Preferred(FusedEncoder(encoder), others[0]), Preferred(FusedDecoder(decoder), others[1])


class TorchBackend:
    """Calls from several threads are safe."""

    def __init__(self, generator: Generator, config: TorchBackendConfig):
        self.config = config
        self.device = torch.device(config.device)
        self.memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
        encoder, decoder = rewrite(generator, config.rewrites)
        halves: tuple[nn.Module, nn.Module] = (encoder, decoder)
        if config.bordered:
            halves = BorderedEncoder(encoder), BorderedDecoder(decoder)
        first = halves
        if config.fused:
            halves = fused_halves(encoder, decoder, first)
        self.encoder, self.decoder = map(self._prepared, halves)
        self._encode = Graphed(self.encoder, first[0]) if config.graphs else self.encoder
        decode, decode_first = in_a_tuple(self.decoder), in_a_tuple(first[1])
        self._decode = Graphed(decode, decode_first) if config.graphs else decode

    def _prepared(self, module: nn.Module) -> nn.Module:
        """On the device, in the precision and memory format of the config."""
        norms = {id(weight) for part in module.modules() if isinstance(part, FastNorm) for weight in part.parameters()}
        for weight in module.parameters():
            if id(weight) not in norms:
                weight.data = weight.data.to(self.config.precision)
        return module.to(self.device).to(memory_format=self.memory_format)

    @torch.inference_mode()
    def encode(self, images: Tensor) -> FastEncoding:
        """Images [1, 3, R, R] -> their encoding on the device."""
        images = images.to(self.device, self.config.precision, memory_format=self.memory_format)
        return FastEncoding(*self._encode(images))

    @torch.inference_mode()
    def decode(self, encoding: FastEncoding, w: Tensor) -> Tensor:
        """Channel weights w [A, 128] -> the decoder's output [A, 3, R, R], on the device in the config's precision."""
        batches = w.to(self.device, self.config.precision).split(self.config.ages_at_once)
        return torch.cat([self._decode(*encoding, batch)[0] for batch in batches])
