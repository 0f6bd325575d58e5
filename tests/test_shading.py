"""A change that darkens as a shadow does: hue kept, lightness as plainly added, and nothing else different."""

import pytest
import torch

from agetransformer.networks import GeneratorConfig
from agetransformer.shading import add_change, luma

SKIN = torch.tensor([0.5, 0.0, -0.3])[None, :, None, None].expand(1, 3, 4, 4)  # warm, of [-1, 1]


def saturation(images: torch.Tensor) -> torch.Tensor:
    """Largest less least channel as a share of the largest, of images as light from 0 to 1."""
    light = (images + 1) / 2
    return (light.amax(1) - light.amin(1)) / light.amax(1)


def test_a_shadow_keeps_the_saturation_that_a_plain_change_raises():
    change = torch.full((1, 3, 4, 4), -0.4)
    plain, shaded = add_change(SKIN, change, False), add_change(SKIN, change, True)
    torch.testing.assert_close(plain, SKIN + change)
    torch.testing.assert_close(luma(shaded), luma(plain))
    assert (saturation(plain) > saturation(SKIN) + 0.1).all()
    torch.testing.assert_close(saturation(shaded), saturation(SKIN), rtol=0, atol=0.02)  # but for the floor in the dark


def test_what_brightens_and_what_colours_is_added_plainly():
    brighter = torch.full((2, 3, 4, 4), 0.3)
    assert torch.equal(add_change(SKIN, brighter, True), SKIN + brighter)
    colour = torch.tensor([0.2, -0.2 * 0.299 / 0.587, 0.0])[None, :, None, None].expand(1, 3, 4, 4)  # no lightness
    torch.testing.assert_close(add_change(SKIN, colour, True), SKIN + colour, rtol=0, atol=1e-6)
    darker = torch.full((1, 3, 4, 4), -0.4)
    torch.testing.assert_close(add_change(SKIN, darker + colour, True), add_change(SKIN, darker, True) + colour)


def test_black_stays_finite_and_each_age_has_its_own_shadow():
    images = torch.cat([torch.full((1, 3, 2, 2), -1.0), SKIN[..., :2, :2]]).requires_grad_(True)
    changes = torch.stack([torch.full((3, 2, 2), -1.5), torch.full((3, 2, 2), -0.2)]).requires_grad_(True)
    shaded = add_change(images, changes, True)
    shaded.sum().backward()
    assert shaded.isfinite().all() and images.grad.isfinite().all() and changes.grad.isfinite().all()
    of_one_face = add_change(images[1:].detach(), changes.detach(), True)  # [1] with [2], as the engine adds ages
    torch.testing.assert_close(of_one_face[1:], shaded[1:].detach())


def test_only_a_residual_shades():
    with pytest.raises(ValueError, match="shading: only of a residual"):
        GeneratorConfig(shading=True)
