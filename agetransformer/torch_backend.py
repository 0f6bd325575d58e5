"""The rewritten generator in PyTorch: any device; on a GPU in half precision, with all ages as one batch."""

from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from agetransformer.cpus import usable_cpus
from agetransformer.networks import Generator
from agetransformer.rewrites import FastEncoding, rewrite


@dataclass(frozen=True)
class TorchBackendConfig:
    device: str = "cpu"
    half: bool = False  # autocast to bfloat16, or to float16 on a GPU that has no bfloat16
    channels_last: bool = False
    ages_at_once: int = 1  # ages decoded as one batch; memory grows with it

    @staticmethod
    def best(device: str) -> "TorchBackendConfig":
        """What suits the device: a CPU keeps one age at a time in its caches, a GPU wants them all at once."""
        if torch.device(device).type == "cpu":
            return TorchBackendConfig(device)
        return TorchBackendConfig(device, half=True, channels_last=True, ages_at_once=10)


class TorchBackend:
    def __init__(self, generator: Generator, config: TorchBackendConfig):
        self.config = config
        memory_format = torch.channels_last if config.channels_last else torch.contiguous_format
        encoder, decoder = rewrite(generator)
        self.encoder = encoder.to(config.device, memory_format=memory_format)
        self.decoder = decoder.to(config.device, memory_format=memory_format)
        if torch.device(config.device).type == "cpu":
            torch.set_num_threads(min(torch.get_num_threads(), usable_cpus()))

    def precision(self):
        """A context manager: autocast, or nothing."""
        if not self.config.half:
            return nullcontext()
        device = torch.device(self.config.device).type
        old_gpu = device == "cuda" and torch.cuda.get_device_capability(self.config.device) < (8, 0)
        return torch.autocast(device, torch.float16 if old_gpu else torch.bfloat16)

    @torch.inference_mode()
    def encode(self, images: Tensor) -> FastEncoding:
        """Images [1, 3, R, R] -> their encoding on the device."""
        memory_format = torch.channels_last if self.config.channels_last else torch.contiguous_format
        with self.precision():
            return self.encoder(images.to(self.config.device, memory_format=memory_format))

    @torch.inference_mode()
    def decode(self, encoding: FastEncoding, w: Tensor) -> Tensor:
        """Channel weights w [A, 128] -> the decoder's output [A, 3, R, R], float32 on the CPU."""
        with self.precision():
            batches = w.to(self.config.device).split(self.config.ages_at_once)
            return torch.cat([self.decoder(*encoding, batch).float().cpu() for batch in batches])
