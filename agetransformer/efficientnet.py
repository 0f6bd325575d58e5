"""The blocks of EfficientNet-Lite0 (Tan & Le 2019, the variant without squeeze-and-excitation and with ReLU6)."""

from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)

# expansion, kernel, stride, output channels, repeats
STAGES: tuple[tuple[int, int, int, int, int], ...] = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class SamePadConv(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding: the odd pixel goes right and below."""

    def forward(self, x: Tensor) -> Tensor:
        stride, kernel = self.stride[0], self.kernel_size[0]
        pads = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[-2:]]
        if self.groups > 1 and torch.is_grad_enabled() and x.device.type == "cpu":
            # Same numbers; the strided backward pass of a depthwise convolution is 30x slower than this on CPUs.
            top, left = (kernel // 2 - pad // 2 for pad in pads)
            x = _DepthwiseConv.apply(x, self.weight)[..., top::stride, left::stride]
            return x if self.bias is None else x + self.bias.to(x.dtype)[:, None, None]
        before = [pad // 2 for pad in pads]
        if any(pad % 2 for pad in pads):  # otherwise the convolution pads by itself; F.pad copies, even to pad nothing
            x = F.pad(x, (before[1], pads[1] - before[1], before[0], pads[0] - before[0]))
            before = [0, 0]
        return F.conv2d(x, self.weight, self.bias, stride, before, 1, self.groups)


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


def fold_norms(network: Network) -> Network:
    """Put the batch norms of a frozen network into the convolutions before them, in place: the same numbers sooner."""
    network.eval()
    for part in [module for module in network.modules() if isinstance(module, nn.Sequential)]:
        match list(part):
            case [SamePadConv() as conv, nn.BatchNorm2d() as norm]:
                part[0], part[1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return network


def conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution and batch norm, without an activation."""
    conv = SamePadConv(inputs, outputs, kernel, stride, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01))


class MBConv(nn.Module):
    """Inverted bottleneck: 1x1 expansion, depthwise convolution, linear 1x1 projection."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int):
        super().__init__()
        hidden = inputs * expansion
        self.expand = conv_norm(inputs, hidden, 1) if expansion > 1 else None
        self.depthwise = conv_norm(hidden, hidden, kernel, stride, groups=hidden)
        self.project = conv_norm(hidden, outputs, 1)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.shortcut else y


def build_blocks(inputs: int, stages: slice = slice(None)) -> tuple[nn.Sequential, int]:
    """The blocks of some of the stages, for maps of `inputs` channels, and the channels of their output."""
    blocks, channels = [], inputs
    for expansion, kernel, stride, outputs, repeats in STAGES[stages]:
        for index in range(repeats):
            blocks.append(MBConv(channels, outputs, expansion, kernel, stride if index == 0 else 1))
            channels = outputs
    return nn.Sequential(*blocks), channels
