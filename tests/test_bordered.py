"""The generator's form for GPUs, run on the CPU, against the form that it is made of."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from random_networks import random_generator
from torch import nn

from agetransformer.bordered import (
    BorderedDecoder,
    BorderedEncoder,
    fill_reflected,
    fill_replicated,
    middle,
    norm_act,
    with_room,
)
from agetransformer.networks import Generator, GeneratorConfig
from agetransformer.rewrites import FastNorm, RewriteConfig, rewrite

CONFIG = RewriteConfig(row_pairs=False, row_sums=False, block=4)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return random_generator(44, gains=(-0.5, 1.5))


@pytest.mark.parametrize("border", [1, 4])
def test_borders_are_paddings(border):
    x = torch.randn(2, 3, 6, 9)
    room = with_room(x, border)
    assert room.shape == (2, 3, 6 + 2 * border, 9 + 2 * border)
    assert room.is_contiguous(memory_format=torch.channels_last)
    middle(room.fill_(float("nan")), border).copy_(x)
    assert torch.equal(fill_reflected(room, border), F.pad(x, (border,) * 4, mode="reflect"))
    if border == 1:
        assert torch.equal(fill_replicated(room), F.pad(x, (1, 1, 1, 1), mode="replicate"))


def test_the_norm_is_an_instance_norm_and_a_leaky_relu():
    norm = nn.InstanceNorm2d(5, affine=True)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = 3 * torch.randn(2, 5, 7, 6) + 10
    with torch.no_grad():
        expected = F.leaky_relu(norm(x), 0.2)
        assert torch.equal(middle(norm_act(x, FastNorm(norm), 2), 2), norm_act(x, FastNorm(norm)))
        torch.testing.assert_close(norm_act(x, FastNorm(norm)), expected)


@pytest.mark.parametrize("size", [(44, 44), (44, 60)])
@torch.inference_mode()
def test_it_computes_what_the_form_computes_that_it_is_made_of(generator, size):
    encoder, decoder = rewrite(generator, CONFIG)
    image, w = torch.rand(1, 3, *size) * 2 - 1, generator.modulation(torch.tensor([20.0, 41.5, 69.0]))
    plain, bordered = encoder(image), BorderedEncoder(encoder)(image)
    for name, expected, made in zip(plain._fields, plain, bordered, strict=True):
        torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-4, msg=name)
    edits = decoder(*plain, w)
    assert edits.std() > 0.01 and (edits[0] - edits[2]).abs().max() > 0.01
    torch.testing.assert_close(BorderedDecoder(decoder)(*plain, w), edits, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(encoder(image).features, plain.features)  # the plain form is as it was


def test_pairs_of_rows_are_refused(generator):
    generator = Generator(GeneratorConfig(64)).eval()
    encoder, _ = rewrite(generator, replace(CONFIG, row_pairs=True))
    with pytest.raises(ValueError, match="row_pairs=False"):
        BorderedEncoder(encoder)
