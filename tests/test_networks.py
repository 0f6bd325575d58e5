"""The networks against the tables of the paper (section 3.1 and its supplement), not against themselves."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from agetransformer.networks import AgeModulation, Generator, GeneratorConfig, PatchDiscriminator

# inputs, outputs, kernel, stride
ENCODER = [(3, 32, 9, 1), (32, 64, 3, 2), (64, 128, 3, 2), *[(128, 128, 3, 1)] * 8]
DECODER = [(256, 64, 3, 1), (128, 32, 3, 1), (32, 3, 9, 1)]
DISCRIMINATOR = [(3, 32, 4, 2), (32, 64, 4, 2), (64, 128, 4, 2), (128, 256, 4, 2), (256, 512, 4, 1), (512, 1, 4, 1)]


def convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]


def rows(module: nn.Module) -> list[tuple[int, int, int, int]]:
    return [(c.in_channels, c.out_channels, c.kernel_size[0], c.stride[0]) for c in convolutions(module)]


def test_layers_are_those_of_the_paper():
    generator = Generator()
    assert rows(generator.encoder) == ENCODER
    assert rows(generator.decoder) == DECODER
    assert rows(PatchDiscriminator()) == DISCRIMINATOR


def test_the_generator_has_about_1_49_million_parameters():
    assert sum(p.numel() for p in Generator().parameters()) == pytest.approx(1.49e6, rel=0.005)


def test_padding_is_by_reflection_and_keeps_the_size():
    for conv in convolutions(Generator()):
        assert conv.padding_mode == "reflect"
        assert conv.padding[0] == conv.kernel_size[0] // 2


def test_spectral_norm_is_on_every_convolution_but_the_generators_last():
    generator = Generator()
    last = generator.decoder.conv3
    for conv in [*convolutions(generator), *convolutions(PatchDiscriminator())]:
        assert is_parametrized(conv, "weight") == (conv is not last)


def test_spectral_norm_bounds_the_largest_singular_value():
    torch.manual_seed(0)
    conv = Generator().encoder.conv1.conv
    for _ in range(30):  # power iterations
        weight = conv.weight
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.01)


def test_norms_of_the_discriminator_are_batch_norms_on_all_but_first_and_last():
    widths = [layer.num_features for layer in PatchDiscriminator().modules() if isinstance(layer, nn.BatchNorm2d)]
    assert widths == [64, 128, 256, 512]


def test_the_receptive_field_of_the_discriminator_is_142():
    field = 1
    for conv in reversed(convolutions(PatchDiscriminator())):
        field = (field - 1) * conv.stride[0] + conv.kernel_size[0]
    assert field == 142


def test_one_score_sees_142_pixels_and_no_more():
    torch.manual_seed(0)
    discriminator = PatchDiscriminator().eval()
    images = torch.randn(1, 3, 256, 256, requires_grad=True)
    scores = discriminator(images)
    middle = scores.shape[-1] // 2
    scores[0, 0, middle, middle].backward()
    touched = images.grad.abs().sum(dim=(0, 1)) > 0
    assert int(touched.any(dim=0).sum()) == int(touched.any(dim=1).sum()) == 142


@pytest.mark.parametrize("side", [256, 512, 1024])
def test_shapes(side):
    generator = Generator().eval()
    with torch.inference_mode():
        encoding = generator.encode(torch.zeros(1, 3, side, side))
        image = generator.decode(encoding, torch.tensor([45.0]))
    assert encoding.skip1.shape == (1, 64, side // 2, side // 2)
    assert encoding.skip2.shape == encoding.features.shape == (1, 128, side // 4, side // 4)
    assert image.shape == (1, 3, side, side)


@pytest.mark.parametrize("sigma", [0.0, 4.0])
def test_modulation_is_within_0_and_1_and_interpolates_between_years(sigma):
    torch.manual_seed(0)
    modulation = AgeModulation(128, sigma)
    nn.init.normal_(modulation.linear.weight, std=3.0)
    w = modulation(torch.arange(101).float())
    assert w.shape == (101, 128)
    assert w.min() >= 0 and w.max() <= 1
    assert w.std(dim=0).mean() > 0.05  # it does depend on the age
    half = modulation(torch.tensor([40.25]))
    torch.testing.assert_close(half[0], 0.75 * w[40] + 0.25 * w[41])


def test_the_one_hot_code_has_a_single_one():
    code = AgeModulation().code(torch.tensor([20, 69]))
    assert code.sum(dim=1).tolist() == [1, 1]
    assert code[0, 20] == code[1, 69] == 1


def test_the_age_reaches_the_image_through_the_modulation_alone():
    torch.manual_seed(0)
    generator = Generator().eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        young, old = (generator(images, torch.tensor([age])) for age in (20.0, 69.0))
        assert not torch.equal(young, old)
        generator.modulation.linear.weight.zero_()
        young, old = (generator(images, torch.tensor([age])) for age in (20.0, 69.0))
    assert torch.equal(young, old)


def test_the_residual_switch_adds_the_input():
    torch.manual_seed(0)
    direct = Generator(GeneratorConfig(residual=False)).eval()
    residual = Generator(GeneratorConfig(residual=True)).eval()
    residual.load_state_dict(direct.state_dict())
    images, ages = torch.randn(2, 3, 64, 64), torch.tensor([25.0, 60.0])
    with torch.no_grad():
        torch.testing.assert_close(residual(images, ages), images + direct(images, ages))
