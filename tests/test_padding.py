"""Paddings for training on a GPU: PyTorch's own numbers and gradients, channels last."""

import pytest
import torch

from agetransformer import rewrites
from train.padding import Reflect, Replicate


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("shape", [(2, 3, 6, 8), (1, 2, 9, 5)])
def test_they_pad_and_go_back_as_pytorch_does(shape, width):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=random, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()
    pairs = [(lambda y: Reflect.apply(y, width), lambda y: rewrites.reflect(y, width))]
    if width == 1:
        pairs.append((Replicate.apply, rewrites.replicate))
    for ours, theirs in pairs:
        made = ours(x)
        assert torch.equal(made, theirs(x))
        assert made.is_contiguous(memory_format=torch.channels_last)
        assert torch.autograd.gradcheck(ours, x)


def test_gradients_stay_channels_last():
    x = torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last).requires_grad_()
    Reflect.apply(x, 2).square().sum().backward()
    assert x.grad.is_contiguous(memory_format=torch.channels_last)
