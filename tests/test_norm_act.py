"""Instance norm and LeakyReLU as one operation."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from train.norm_act import NormAct

EPS = 1e-5


def inputs(shape: tuple[int, ...], dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(0)
    x = 3 + 2 * torch.randn(shape, generator=random, dtype=dtype)
    weight, bias = (torch.randn(shape[1], generator=random, dtype=dtype) for _ in range(2))
    return tuple(value.requires_grad_() for value in (x.to(memory_format=torch.channels_last), weight, bias))


def test_it_is_an_instance_norm_and_a_leaky_relu_with_their_gradients():
    x, weight, bias = inputs((2, 3, 4, 6), torch.float64)
    expected = F.leaky_relu(F.instance_norm(x, weight=weight, bias=bias, eps=EPS), 0.2)
    torch.testing.assert_close(NormAct.apply(x, weight, bias, EPS), expected)
    assert torch.autograd.gradcheck(lambda *values: NormAct.apply(*values, EPS), (x, weight, bias))


def test_a_map_that_is_the_same_everywhere_stays_finite():
    x = torch.full((1, 2, 8, 8), 7.0, requires_grad=True)
    y = NormAct.apply(x, torch.ones(2), torch.tensor([-1.0, 1.0]), EPS)
    y.sum().backward()
    torch.testing.assert_close(y[0, :, 0, 0], torch.tensor([-0.2, 1.0]), atol=1e-2, rtol=0)
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_maps_stay_channels_last_and_in_their_precision(dtype):
    x, weight, bias = inputs((2, 4, 8, 8), torch.float32)
    half = x.detach().to(dtype).requires_grad_()
    y = NormAct.apply(half, weight, bias, EPS)
    y.backward(torch.ones_like(y))
    for made in (y, half.grad):
        assert made.dtype == dtype and made.is_contiguous(memory_format=torch.channels_last)
    assert weight.grad.dtype == torch.float32
    expected = F.leaky_relu(F.instance_norm(x, weight=weight, bias=bias, eps=EPS), 0.2)
    torch.testing.assert_close(y.float(), expected, atol=0.1 if dtype == torch.bfloat16 else 1e-5, rtol=0)
