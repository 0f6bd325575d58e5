"""Age classifier V: a face image -> a distribution over ages 0..100 (DEX, Rothe et al. 2015).

The backbone is EfficientNet-Lite0 (Tan & Le 2019, the variant without squeeze-and-excitation and with ReLU6).
A second, optional head says the apparent gender: the generator's training uses it to keep gender while the age moves.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NUM_AGES = 101  # ages 0..100, one class a year

# V's view of an FFHQ-aligned square, as fractions of its side.
CHIP_X = (0.1915, 0.8215)
CHIP_Y = (0.287, 0.917)

# expansion, kernel, stride, output channels, repeats: EfficientNet-Lite0
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


@dataclass(frozen=True)
class ClassifierConfig:
    """What it takes to rebuild V from its weights."""

    resolution: int = 128  # side of the chip that V reads, in pixels
    gender: bool = True  # whether the gender head exists
    dropout: float = 0.2


class SamePadConv(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: the odd pixel goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        stride, kernel = self.stride[0], self.kernel_size[0]
        pads = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:]]
        if self.groups > 1 and torch.is_grad_enabled() and x.device.type == "cpu":
            # Same numbers; the strided backward pass of a depthwise convolution is 30x slower than this on CPUs.
            top, left = (kernel // 2 - pad // 2 for pad in pads)
            return _DepthwiseConv.apply(x, self.weight)[..., top::stride, left::stride]
        x = F.pad(x, (pads[1] // 2, pads[1] - pads[1] // 2, pads[0] // 2, pads[0] - pads[0] // 2))
        return F.conv2d(x, self.weight, self.bias, stride, 0, 1, self.groups)


class _DepthwiseConv(torch.autograd.Function):
    """Stride-1 depthwise convolution whose weight gradient is computed in float32: faster than bfloat16 on CPUs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu"):
            x = x.to(torch.get_autocast_dtype("cpu"))
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight.to(x.dtype), None, 1, weight.shape[-1] // 2, 1, len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        padding = [weight.shape[-1] // 2] * 2

        def derive(dtype: torch.dtype, mask: list[bool]) -> tuple[Tensor, ...]:
            return torch.ops.aten.convolution_backward(
                gradient.to(dtype), x.to(dtype), weight.to(dtype), None, [1, 1], padding, [1, 1], False, [0, 0],
                len(weight), mask,
            )  # fmt: skip

        for_input = derive(x.dtype, [True, False, False])[0] if ctx.needs_input_grad[0] else None
        for_weight = derive(torch.float32, [False, True, False])[1] if ctx.needs_input_grad[1] else None
        return for_input, for_weight


def _conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = SamePadConv(inputs, outputs, kernel, stride, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))


class MBConv(nn.Module):
    """Inverted bottleneck: 1x1 expansion, depthwise convolution, linear 1x1 projection."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int):
        super().__init__()
        hidden = inputs * expansion
        self.expand = _conv_norm(inputs, hidden, 1) if expansion > 1 else None
        self.depthwise = _conv_norm(hidden, hidden, kernel, stride, groups=hidden)
        self.project = _conv_norm(hidden, outputs, 1)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.shortcut else y


class AgeClassifier(nn.Module):
    """V of the paper.

    Input: face chips [N, 3, H, W] in [-1, 1], framed as `chip` frames them, ideally at `config.resolution`.
    """

    def __init__(self, config: ClassifierConfig | None = None):
        super().__init__()
        self.config = config or ClassifierConfig()
        self.stem = _conv_norm(3, 32, 3, 2)
        blocks, channels = [], 32
        for expansion, kernel, stride, outputs, repeats in _STAGES:
            for index in range(repeats):
                blocks.append(MBConv(channels, outputs, expansion, kernel, stride if index == 0 else 1))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = _conv_norm(channels, 1280, 1)
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
    return logits.float().softmax(dim=1) @ ages


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
