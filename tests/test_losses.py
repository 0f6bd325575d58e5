"""The losses against numbers worked out by hand."""

import math

import pytest
import torch
from torch import nn

from agetransformer.shading import add_change
from train.batches import age_balance, draw_targets
from train.losses import (
    background_prior,
    compute_age_error,
    compute_brightening_loss,
    compute_chroma_loss,
    compute_class_loss,
    compute_darkening_loss,
    compute_discolouring_loss,
    compute_discriminator_gan_loss,
    compute_distillation_loss,
    compute_gender_loss,
    compute_generator_gan_loss,
    compute_patchiness_loss,
    compute_r1_penalty,
    compute_recon_loss,
    compute_residual_loss,
    compute_smoothness_loss,
    fade_colour_change,
    hide_background,
    show_on_face,
    take_lightness,
)


def test_recon_is_the_mean_absolute_difference():
    images = torch.zeros(2, 3, 4, 4)
    assert compute_recon_loss(images + 0.25, images).item() == pytest.approx(0.25)


def test_class_loss_of_a_uniform_classifier_is_log_101():
    loss = compute_class_loss(torch.zeros(3, 101), torch.tensor([20.0, 40.0, 69.0]))
    assert loss.item() == pytest.approx(math.log(101), rel=1e-5)


@pytest.mark.parametrize("width", [0.0, 2.0])
def test_class_loss_is_least_at_the_target(width):
    peaks = -0.5 * ((torch.arange(101) - torch.tensor([[40.0], [50.0], [60.0]])) / 3) ** 2
    losses = [compute_class_loss(logits[None], torch.tensor([50.0]), width).item() for logits in peaks]
    assert losses[1] < min(losses[0], losses[2])


def test_age_error_is_in_years_of_the_expectation():
    ages = torch.arange(101)
    logits = torch.where((ages == 30) | (ages == 40), 0.0, -100.0).repeat(2, 1)  # expectation 35
    assert compute_age_error(logits, torch.tensor([45.0, 31.0])).item() == pytest.approx((10 + 4) / 2, rel=1e-4)


def test_the_edit_is_shown_on_the_face_alone():
    images, edited = torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64, requires_grad=True)
    seen = show_on_face(edited, images, background_prior(64))
    assert (seen[..., 32:40, 28:36] == 1).all() and (seen[..., :8, :8] == 0).all() and (seen[..., -8:, -8:] == 0).all()
    seen.sum().backward()  # no loss on what is seen reaches the background
    assert (edited.grad[..., :8, :8] == 0).all() and (edited.grad[..., 32:40, 28:36] == 1).all()


def test_beside_the_face_everything_is_grey():
    hidden = hide_background(torch.full((1, 3, 64, 64), 0.5), background_prior(64))
    assert (hidden[..., 32:40, 28:36] == 0.5).all() and (hidden[..., :8, :8] == 0).all()


def test_gan_losses_are_least_squares():
    real, fake = torch.full((1, 1, 2, 2), 0.75), torch.full((1, 1, 2, 2), 0.25)
    assert compute_discriminator_gan_loss(real, fake).item() == pytest.approx(0.25**2 + 0.25**2)
    assert compute_generator_gan_loss(fake).item() == pytest.approx(0.75**2)


def test_r1_of_a_linear_discriminator_is_half_its_squared_weight():
    class Linear(nn.Module):
        def forward(self, images):
            return 3 * images.sum(dim=(1, 2, 3))[:, None, None, None]

    penalty = compute_r1_penalty(Linear(), torch.randn(4, 3, 8, 8))
    assert penalty.item() == pytest.approx(0.5 * 9 * 3 * 64, rel=1e-5)


def test_gender_loss_at_even_odds_is_log_2():
    assert compute_gender_loss(torch.zeros(4), torch.tensor([0.0, 1, 1, 0])).item() == pytest.approx(math.log(2))


def test_residual_loss_makes_the_background_dearer():
    images = torch.zeros(1, 3, 64, 64)
    face, corner = images.clone(), images.clone()
    face[..., 32:40, 28:36] = 1
    corner[..., :8, :8] = 1
    prior = background_prior(64)
    cheap, dear = (
        [compute_residual_loss(edited, images, outside, prior).item() for edited in (face, corner)]
        for outside in (1.0, 4.0)
    )
    assert dear == pytest.approx([cheap[0], 4 * cheap[1]])
    assert prior.shape == (64, 64) and prior.min() == 0 and prior.max() == 1


def test_brightening_loss_counts_what_is_brighter_than_a_filled_wrinkle():
    images = torch.zeros(1, 3, 4, 4)
    assert compute_brightening_loss(images + 0.15, images) == 0 and compute_brightening_loss(images - 0.9, images) == 0
    lips = images.clone()
    lips[..., 0, :] = 0.7
    assert compute_brightening_loss(lips, images).item() == pytest.approx(0.5**2 / 4)
    free = torch.full((len(images),), 0.45)
    assert compute_brightening_loss(lips, images, free).item() == pytest.approx(0.25**2 / 4)


def test_darkening_loss_counts_what_is_darker_than_wrinkles():
    images = torch.zeros(1, 3, 8, 8)
    assert compute_darkening_loss(images - 0.15, images) == 0 and compute_darkening_loss(images + 0.9, images) == 0
    stroke = images.clone()
    stroke[..., :2] -= 0.7  # a quarter of the pixels
    assert compute_darkening_loss(stroke, images).item() == pytest.approx(0.5**2 / 4)
    both = images.expand(2, 3, 8, 8)
    each = compute_darkening_loss(both - 0.15, both, torch.tensor([0.05, 0.2]))
    assert each.item() == pytest.approx(0.1**2 / 2, rel=1e-5)


def test_in_the_shade_a_line_is_dark_by_the_light_that_is_there():
    bright, shade = torch.full((1, 3, 4, 4), 0.2), torch.full((1, 3, 4, 4), -0.4)  # 0.6 and 0.3 of the light
    losses = [compute_darkening_loss(x - 0.2, x, 0.1, full_light=0.6).item() for x in (bright, shade)]
    assert losses == pytest.approx([0.1**2, 0.3**2], rel=1e-4)
    assert compute_darkening_loss(shade - 0.2, shade, 0.1).item() == pytest.approx(0.1**2, rel=1e-4)
    black = torch.full((1, 3, 4, 4), -1.0)  # no division by nothing
    assert compute_darkening_loss(black - 0.1, black, 0.0, full_light=0.6).item() == pytest.approx(0.4**2, rel=1e-4)


def test_a_face_can_count_for_less_in_what_v_reads():
    logits, ages = torch.randn(2, 101), torch.tensor([25.0, 65.0])
    each = [compute_class_loss(logits[i : i + 1], ages[i : i + 1], 2.0) for i in (0, 1)]
    halved = compute_class_loss(logits, ages, 2.0, torch.tensor([0.5, 1.0]))
    torch.testing.assert_close(halved, (0.5 * each[0] + each[1]) / 2)
    errors = [compute_age_error(logits[i : i + 1], ages[i : i + 1]) for i in (0, 1)]
    halved = compute_age_error(logits, ages, torch.tensor([0.5, 1.0]))
    torch.testing.assert_close(halved, (0.5 * errors[0] + errors[1]) / 2)


def test_discolouring_loss_counts_what_is_more_coloured_than_a_tan():
    images = torch.zeros(1, 3, 8, 8)
    assert compute_discolouring_loss(images + 0.7, images).item() == pytest.approx(0, abs=1e-9)  # lighter, no colour
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None]  # R - Y by 0.701, B - Y by -0.299
    assert compute_discolouring_loss(images + 0.07 * red, images) == 0
    spot = images.clone()
    spot[..., :2] += 0.4 * red  # a quarter of the pixels
    expected = ((0.4 * 0.701 - 0.05) ** 2 + (0.4 * 0.299 - 0.05) ** 2) / 4
    assert compute_discolouring_loss(spot, images).item() == pytest.approx(expected, rel=1e-4)


def test_faded_colour_change_keeps_lightness_and_the_image():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5
    edited = images + torch.tensor([0.4, -0.1, 0.2])[:, None, None]
    faded = fade_colour_change(edited, images, 0.0)
    y = 0.299 * 0.4 - 0.587 * 0.1 + 0.114 * 0.2
    torch.testing.assert_close(faded, images + y)
    torch.testing.assert_close(fade_colour_change(edited, images, 1.0), edited)
    torch.testing.assert_close(fade_colour_change(edited, images, 0.25), faded + 0.25 * (edited - faded))


def test_a_shadow_is_no_change_of_colour():
    """Of a generator that shades, V is shown the shadow, and the losses of colour count what is beyond it."""
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5
    shadow = add_change(images, torch.full_like(images, -0.3), True)
    torch.testing.assert_close(take_lightness(shadow, images, True), shadow)
    torch.testing.assert_close(fade_colour_change(shadow, images, 0.0, True), shadow)
    assert compute_chroma_loss(shadow, take_lightness(shadow, images, True)).item() == pytest.approx(0, abs=1e-9)
    assert compute_chroma_loss(shadow, images) > 1e-4
    red = torch.tensor([0.3, -0.3 * 0.299 / 0.587, 0.0])[:, None, None]  # no lightness
    torch.testing.assert_close(take_lightness(shadow + red, images, True), shadow)


def test_distillation_loss_is_the_square_error_on_the_face():
    taught, background = torch.zeros(1, 3, 4, 8), torch.zeros(4, 8)
    background[:, 4:] = 1
    edited = taught.clone()
    edited[..., 4:] = 1.0
    assert compute_distillation_loss(edited, taught, background) == 0
    edited[..., :4] = 0.5
    assert compute_distillation_loss(edited, taught, background).item() == pytest.approx(0.25 / 2)


def test_smoothness_loss_counts_the_edges_of_the_change():
    images = torch.rand(1, 3, 8, 8)
    assert compute_smoothness_loss(images + 0.5, images).item() == pytest.approx(0, abs=1e-6)
    ripples, step = images.clone(), images.clone()
    ripples[..., ::2] += 0.5
    step[..., 4:] += 0.5
    assert compute_smoothness_loss(step, images).item() == pytest.approx(0.5 / 7, rel=1e-4)
    assert compute_smoothness_loss(ripples, images).item() == pytest.approx(0.5, rel=1e-4)


def test_patchiness_loss_prefers_few_deep_folds_to_much_dirt():
    images, background = torch.zeros(1, 3, 384, 384), torch.zeros(384, 384)

    def loss(change: torch.Tensor, background: torch.Tensor = background) -> float:
        return compute_patchiness_loss(images + change, images, background).item()

    axis = torch.arange(384)
    cells = ((axis[:, None] // 12 + axis // 12) % 2).float()  # patches of 12 px
    dirt, shading = 0.06 * cells, 0.3 * torch.sin(axis / 384 * math.pi)
    fold = torch.zeros(384, 384)
    fold[100:112] = 0.6  # as much in all
    wrinkles = 0.2 * ((axis[:, None] + axis) % 2).float()
    assert dirt.sum() > 0.9 * fold.sum()
    assert loss(dirt) > 2.5 * loss(fold) > 0
    assert loss(1.5 * fold) < 1.3 * loss(fold)
    assert loss(0.5 * dirt) < loss(dirt)
    assert max(loss(shading), loss(wrinkles)) < 0.1 * loss(dirt)
    half = background.clone()
    half[:, :192] = 1
    assert loss(dirt, half) == pytest.approx(loss(dirt) / 2, rel=0.02)
    assert loss(dirt, background + 1) == 0


def test_chroma_loss_ignores_brightness():
    images = torch.zeros(1, 3, 8, 8)
    assert compute_chroma_loss(images + 0.3, images).item() == pytest.approx(0, abs=1e-6)
    red = images.clone()
    red[:, 0] += 0.3
    assert compute_chroma_loss(red, images).item() == pytest.approx(0.09 * ((1 - 0.299) ** 2 + 0.299**2), rel=1e-4)


def test_targets_keep_their_distance_and_cover_q():
    random = torch.Generator().manual_seed(0)
    ages = torch.arange(20.0, 70.0).repeat(200)
    targets = draw_targets(ages, 25, random)
    assert targets.min() == 20 and targets.max() == 69
    assert (targets - ages).abs().min() >= 25
    # From 30 only 55..69 are far enough, each equally likely.
    counts = torch.bincount(draw_targets(torch.full((15_000,), 30.0), 25, random).long(), minlength=70)
    assert counts[:55].sum() == 0
    assert counts[55:].float().std() < 4 * math.sqrt(1000)


def test_age_balance_makes_bins_equally_likely():
    ages = torch.cat([torch.full((900,), 22.0), torch.full((90,), 47.0), torch.full((10,), 66.0)])
    weights = age_balance(ages)
    sums = [weights[ages == age].sum().item() for age in (22.0, 47.0, 66.0)]
    assert sums == pytest.approx([1.0, 1.0, 1.0], rel=1e-4)


def test_single_faces_of_a_cell_are_not_all_of_its_share():
    ages = torch.full((100,), 22.0)
    rare = (torch.arange(100) < 1).long()
    weights = age_balance(torch.cat([ages, ages + 45]), traits=torch.cat([rare, (torch.arange(100) < 50).long()]))
    assert weights[0] < 10 * weights[150], "of 51 such faces the only young one"


def test_balanced_traits_have_the_same_share_at_every_age():
    """Glasses on one face in ten of the young and on one in two of the old: on as many of both in the draw."""
    ages = torch.cat([torch.full((100,), 22.0), torch.full((20,), 67.0)])
    glasses = torch.cat([torch.arange(100) < 10, torch.arange(20) < 10]).long()
    weights = age_balance(ages, traits=glasses)
    for age in (22.0, 67.0):
        drawn = weights * (ages == age)
        assert (drawn.sum() / weights.sum()).item() == pytest.approx(1 / 2)
        assert (drawn[glasses == 1].sum() / drawn.sum()).item() == pytest.approx(20 / 120)
