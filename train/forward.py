"""The generator's forward pass for training: one face at several ages, the same numbers for less work.

The decoder's convolutions see the skips once for all ages, and nearest x2 + 3x3 is a transposed convolution
(`agetransformer.rewrites`). Everything runs in one precision, because autocast would run the paddings in float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from agetransformer.networks import ConvBlock, Generator, finish
from agetransformer.rewrites import blocked_kernel, reflect, upsample, upsampling_kernel
from train.norm_act import NormAct


def norm_act(x: Tensor, norm: torch.nn.InstanceNorm2d) -> Tensor:
    """Instance norm (sums in float32) and LeakyReLU(0.2); stays in channels_last, unlike PyTorch's own."""
    return NormAct.apply(x, norm.weight, norm.bias, norm.eps)


def conv_block(x: Tensor, block: ConvBlock) -> Tensor:
    """A ConvBlock; its bias does nothing before an instance norm."""
    weight = block.conv.weight.to(x.dtype)
    x = F.conv2d(reflect(x, weight.shape[-1] // 2), weight, stride=block.conv.stride)
    return norm_act(x, block.norm)


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
    kernel3 = blocked_kernel(decoder.conv3.weight).to(dtype)
    bias3 = decoder.conv3.bias.repeat_interleave(4).to(dtype)
    from_skip2, from_skip1 = upsample(skip2, kernel1[128:]), upsample(skip1, kernel2[64:])
    outputs = []
    for target in ages:
        w = generator.modulation(target)[:, :, None, None].to(dtype)
        x = norm_act(upsample(features * w, kernel1[:128]) + from_skip2, decoder.conv1.norm)
        x = norm_act(upsample(x, kernel2[:64]) + from_skip1, decoder.conv2.norm)
        x = F.pixel_shuffle(F.conv2d(reflect(x, 4), kernel3, bias3, stride=2), 2).to(images.dtype)
        outputs.append(finish(images, x, generator.config))
    return outputs
