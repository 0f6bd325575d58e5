"""The hair segmenter in OpenVINO, for CPUs: the same maps, in less time."""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from agetransformer import efficientnet
from agetransformer import hair_segmenter as segmenter_code
from agetransformer.hair_segmenter import HairSegmenter
from agetransformer.openvino_models import compile_network, has_bfloat16


class _Shares(nn.Module):
    """Pictures [1, 3, H, W] -> maps [1, 2, H, W] in 0..1."""

    def __init__(self, segmenter: HairSegmenter):
        super().__init__()
        self.segmenter = segmenter

    def forward(self, pictures: Tensor) -> Tensor:
        return self.segmenter(pictures).sigmoid()


class OpenVinoSegmenter:
    """Calls from several threads are safe: each has an inference request of its own.

    In bfloat16 where the processor computes in it, as the module in PyTorch.
    """

    def __init__(self, segmenter: HairSegmenter, cache: Path | None = None):
        """
        Args:
            segmenter: it is not changed, and is in evaluation mode.
            cache: folder of what was compiled; None compiles anew.
        Raises:
            ImportError: OpenVINO is not installed.
        """
        self.config = segmenter.config
        side = self.config.resolution
        self.model = compile_network(
            f"hair-segmenter-{side}",
            _Shares(segmenter),
            torch.zeros(1, 3, side, side),
            (1, 3, -1, -1),
            "bf16" if has_bfloat16() else "f32",
            cache,
            (segmenter_code, efficientnet, sys.modules[__name__]),
        )

    def predict(self, pictures: Tensor) -> Tensor:
        """`HairSegmenter.predict` of one picture: [1, 3, H, W] in [-1, 1] on the CPU -> [1, 2, H, W] in 0..1."""
        results = self.model.create_infer_request().infer([pictures.contiguous().numpy()])
        return torch.from_numpy(results[0].copy())
