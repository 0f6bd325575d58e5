"""The training's upsampling: the numbers and gradients of the app's, whatever the shape."""

import pytest
import torch

from agetransformer.rewrites import upsample, upsampling_kernel
from train.forward import PlaceWindows, upsample_for_training


@pytest.mark.parametrize("shape", [(2, 6, 8, 12), (1, 3, 1, 5), (3, 4, 7, 2)])
def test_windows_upsample_as_the_transposed_convolution_does(shape):
    random = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=random, dtype=torch.float64)
    weight = torch.randn(5, shape[1], 3, 3, generator=random, dtype=torch.float64)
    gradient = torch.randn(shape[0], 5, 2 * shape[2], 2 * shape[3], generator=random, dtype=torch.float64)
    results = []
    for function in (upsample, upsample_for_training):
        given = x.clone(memory_format=torch.channels_last).requires_grad_()
        kernel = weight.clone().requires_grad_()
        made = function(given, upsampling_kernel(kernel))
        made.backward(gradient)
        results.append((made.detach(), given.grad, kernel.grad))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_places_stay_channels_last_and_have_the_gradient_that_their_numbers_have():
    x = torch.randn(2, 12, 4, 3, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()
    assert PlaceWindows.apply(x).shape == (2, 3, 6, 4)
    assert PlaceWindows.apply(x).is_contiguous(memory_format=torch.channels_last)
    assert torch.autograd.gradcheck(PlaceWindows.apply, x)
