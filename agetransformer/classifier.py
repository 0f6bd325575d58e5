"""Age classifier V: a face image -> a distribution over ages 0..100 (DEX, Rothe et al. 2015).

The backbone is EfficientNet-Lite0 (agetransformer/efficientnet.py).
A second, optional head says the apparent gender: the generator's training uses it to keep gender while the age moves.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agetransformer.efficientnet import build_blocks, conv_norm

NUM_AGES = 101  # ages 0..100, one class a year

# V's view of an FFHQ-aligned square, as fractions of its side.
CHIP_X = (0.1915, 0.8215)
CHIP_Y = (0.287, 0.917)


@dataclass(frozen=True)
class ClassifierConfig:
    """What it takes to rebuild V from its weights."""

    resolution: int = 128  # side of the chip that V reads, in pixels
    gender: bool = True  # whether the gender head exists
    dropout: float = 0.2


class AgeClassifier(nn.Module):
    """V of the paper.

    Input: face chips [N, 3, H, W] in [-1, 1], framed as `chip` frames them, ideally at `config.resolution`.
    """

    def __init__(self, config: ClassifierConfig | None = None):
        super().__init__()
        self.config = config or ClassifierConfig()
        self.stem = conv_norm(3, 32, 3, 2)
        self.blocks, channels = build_blocks(32)
        self.head = conv_norm(channels, 1280, 1)
        self.dropout = nn.Dropout(self.config.dropout)
        self.age = nn.Linear(1280, NUM_AGES)
        self.gender = nn.Linear(1280, 1) if self.config.gender else None

    def features(self, chips: Tensor) -> Tensor:
        """Chips [N, 3, H, W] in [-1, 1] -> pooled features [N, 1280]."""
        x = self.blocks(F.relu6(self.stem(chips)))
        return F.relu6(self.head(x)).mean(dim=(2, 3))

    def forward(self, chips: Tensor) -> tuple[Tensor, Tensor | None]:
        """Chips -> (age logits [N, 101], gender logit [N], positive for female; None without the head)."""
        x = self.dropout(self.features(chips))
        return self.age(x), None if self.gender is None else self.gender(x).squeeze(1)

    @torch.no_grad()
    def predict(self, faces: Tensor) -> Tensor:
        """FFHQ-aligned squares [N, 3, S, S] in [-1, 1] -> expected age in years [N], within 0..100."""
        return expected_age(self(chip(faces, self.config.resolution))[0])


def expected_age(logits: Tensor) -> Tensor:
    """Age logits [N, 101] -> the expectation in years [N] (DEX, equation 1)."""
    ages = torch.arange(NUM_AGES, dtype=torch.float32, device=logits.device)
    return (logits.float().softmax(dim=1) * ages).sum(dim=1)  # autocast would round a matrix product to 0.5 years


def chip(faces: Tensor, size: int) -> Tensor:
    """Cut V's tight view out of FFHQ-aligned squares and resize it, differentiably.

    Args:
        faces: [N, 3, S, S], any range.
        size: side of the result in pixels.
    Returns:
        [N, 3, size, size], same range (bilinear, antialiased when it shrinks).
    """
    side = faces.shape[-1]
    left, right = (round(side * x) for x in CHIP_X)
    top, bottom = (round(side * y) for y in CHIP_Y)
    view = faces[..., top:bottom, left:right]
    if view.shape[-2:] == (size, size):
        return view
    shrinking = view.shape[-1] > size
    return F.interpolate(view, size=(size, size), mode="bilinear", align_corners=False, antialias=shrinking)
