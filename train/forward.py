"""The generator's forward pass for training: one face at several ages, the same numbers for less work.

The decoder's convolutions see the skips once for all ages, and nearest x2 + 3x3 is a transposed convolution
(`agetransformer.rewrites`). Everything runs in one precision, because autocast would run the paddings in float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from agetransformer.networks import ConvBlock, Generator, finish
from agetransformer.quantization import window_kernels
from agetransformer.rewrites import blocked_kernel, upsample_padded, upsampling_kernel
from train.norm_act import NormAct
from train.padding import reflect, replicate


def norm_act(x: Tensor, norm: torch.nn.InstanceNorm2d) -> Tensor:
    """Instance norm (sums in float32) and LeakyReLU(0.2); stays in channels_last, unlike PyTorch's own."""
    return NormAct.apply(x, norm.weight, norm.bias, norm.eps)


def conv_block(x: Tensor, block: ConvBlock) -> Tensor:
    """A ConvBlock; its bias does nothing before an instance norm."""
    weight = block.conv.weight.to(x.dtype)
    x = F.conv2d(reflect(x, weight.shape[-1] // 2), weight, stride=block.conv.stride)
    return norm_act(x, block.norm)


class PlaceWindows(torch.autograd.Function):
    """[N, 4 O, h + 1, w + 1], what windows of 2x2 say of the pixels around their middles -> [N, O, 2 h, 2 w].

    Channels are in the order of `window_kernels`: even rows, then odd ones, and in each the odd columns first.
    Both channels last; slices would fill as many zeros as there are gradients.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        made = x.permute(0, 2, 3, 1).unflatten(3, (2, 2, -1))  # [N, h + 1, w + 1, 2, 2, O]
        count, height, width, *_, channels = made.shape
        placed = x.new_empty(count, 2 * (height - 1), 2 * (width - 1), channels)
        for own, place in zip(_windows(made), _pixels(placed), strict=True):
            place.copy_(own)
        return placed.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> Tensor:
        placed = gradient.permute(0, 2, 3, 1)
        count, height, width, channels = placed.shape
        made = gradient.new_empty(count, height // 2 + 1, width // 2 + 1, 2, 2, channels)
        for border in (made[:, -1, :, 0], made[:, 0, :, 1], made[:, :, 0, :, 0], made[:, :, -1, :, 1]):
            border.zero_()  # has no place
        for own, place in zip(_windows(made), _pixels(placed), strict=True):
            own.copy_(place)
        return made.flatten(3).permute(0, 3, 1, 2)


def _windows(made: Tensor) -> list[Tensor]:
    """The parts of [N, h + 1, w + 1, 2, 2, O] that have a place, in the order of `_pixels`."""
    return [made[:, :-1, 1:, 0, 0], made[:, :-1, :-1, 0, 1], made[:, 1:, 1:, 1, 0], made[:, 1:, :-1, 1, 1]]


def _pixels(placed: Tensor) -> list[Tensor]:
    """Even rows' odd columns, their even columns, odd rows' odd columns, their even columns of [N, 2 h, 2 w, O]."""
    return [placed[:, row::2, column::2] for row in (0, 1) for column in (1, 0)]


def upsample_for_training(x: Tensor, kernel: Tensor) -> Tensor:
    """`rewrites.upsample`; on a CPU as a convolution of 2x2 windows, whose gradient takes half the time there.

    Each window makes the four large pixels around its middle, as channels, which are then put in their places.
    """
    if x.device.type != "cpu":
        return upsample_padded(replicate(x), kernel)
    windows = torch.cat(window_kernels(kernel)).contiguous(memory_format=torch.channels_last)  # [4 O, I, 2, 2]
    return PlaceWindows.apply(F.conv2d(replicate(x), windows))


def block_side(device: torch.device) -> int:
    """Of the blocks of pixels that the last convolution makes: what is quickest there, forward and backward."""
    return 2 if device.type == "cpu" else 4


def edit_at(generator: Generator, images: Tensor, *ages: Tensor, dtype: torch.dtype = torch.bfloat16) -> list[Tensor]:
    """G(x0, a) for each a.

    Args:
        images: [N, 3, H, W] in [-1, 1].
        ages: target ages [N] each.
        dtype: the precision of the convolutions.
    Returns:
        For each of `ages`, [N, 3, H, W] in the images' precision.
    """
    encoder, decoder = generator.encoder, generator.decoder
    skip1 = conv_block(conv_block(images.to(dtype), encoder.conv0), encoder.conv1)
    skip2 = conv_block(skip1, encoder.conv2)
    features = skip2
    for block in encoder.blocks:
        features = features + conv_block(conv_block(features, block.conv1), block.conv2)

    kernel1 = upsampling_kernel(decoder.conv1.conv.weight).to(dtype)
    kernel2 = upsampling_kernel(decoder.conv2.conv.weight).to(dtype)
    block = block_side(images.device)
    kernel3 = blocked_kernel(decoder.conv3.weight, block).to(dtype)
    bias3 = decoder.conv3.bias.repeat_interleave(block**2).to(dtype)
    from_skip2, from_skip1 = upsample_for_training(skip2, kernel1[128:]), upsample_for_training(skip1, kernel2[64:])
    outputs = []
    for target in ages:
        w = generator.modulation(target)[:, :, None, None].to(dtype)
        x = norm_act(upsample_for_training(features * w, kernel1[:128]) + from_skip2, decoder.conv1.norm)
        x = norm_act(upsample_for_training(x, kernel2[:64]) + from_skip1, decoder.conv2.norm)
        x = F.pixel_shuffle(F.conv2d(reflect(x, 4), kernel3, bias3, stride=block), block).to(images.dtype)
        outputs.append(finish(images, x, generator.config))
    return outputs
