"""The age classifier in OpenVINO, for CPUs: the same ages, in less time."""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from agetransformer import classifier as classifier_code
from agetransformer import efficientnet
from agetransformer.classifier import AgeClassifier, chip, expected_age
from agetransformer.openvino_models import compile_network


class _AgeLogits(nn.Module):
    """Chips [N, 3, H, H] -> age logits [N, 101]: an AgeClassifier without its second head."""

    def __init__(self, classifier: AgeClassifier):
        super().__init__()
        self.classifier = classifier

    def forward(self, chips: Tensor) -> Tensor:
        return self.classifier.age(self.classifier.features(chips))


class OpenVinoClassifier:
    """Calls from several threads are safe: each has an inference request of its own.

    In float32: in bfloat16 ages differ by up to a year.
    """

    def __init__(self, classifier: AgeClassifier, cache: Path | None = None):
        """
        Args:
            classifier: it is not changed, and is in evaluation mode.
            cache: folder of what was compiled; None compiles anew.
        Raises:
            ImportError: OpenVINO is not installed.
        """
        self.resolution = classifier.config.resolution
        side = self.resolution
        self.model = compile_network(
            f"classifier-{side}",
            _AgeLogits(classifier),
            torch.zeros(2, 3, side, side),
            (-1, 3, side, side),
            "f32",
            cache,
            (classifier_code, efficientnet, sys.modules[__name__]),
        )

    @torch.inference_mode()
    def predict(self, faces: Tensor) -> Tensor:
        """`AgeClassifier.predict`: squares [N, 3, S, S] in [-1, 1] on the CPU -> expected ages in years [N]."""
        pixels = chip(faces, self.resolution).contiguous().numpy()
        results = self.model.create_infer_request().infer([pixels])
        return expected_age(torch.from_numpy(results[0].copy()))
