"""The losses: each a free function that returns a scalar tensor.

Images are [N, 3, H, W] in [-1, 1], scores are D's patches [N, K, h, w]; `background` [H, W] or [N, 1, H, W] is 0 on
the face, 1 where nothing should change. The paper's (section 3.2) are the
reconstruction, the cross-entropy of V's classes and the two of LSGAN; the others are ours, and off in paper.yaml.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from agetransformer.classifier import NUM_AGES, expected_age
from agetransformer.shading import add_change, luma

_PATCH_CELLS = 96  # a side
_DARKEST = 0.25  # of `full_light`: darker pixels count as if they were no darker


def compute_recon_loss(reconstruction: Tensor, images: Tensor) -> Tensor:
    """L_recon = E |G(x0, a0) - x0|_1: the face at its own age comes back unchanged."""
    return (reconstruction - images).abs().mean()


def compute_class_loss(age_logits: Tensor, ages: Tensor, width: float = 0.0, share: float | Tensor = 1.0) -> Tensor:
    """L_class = E CE(a1, V(G(x0, a1))): the edited face reads as its target age.

    Args:
        age_logits: V's logits [N, 101].
        ages: whole target ages [N].
        width: standard deviation in years of soft labels; 0 is the paper's one-hot.
        share: how much each face counts, one for all or [N].
    """
    labels = ages.long() if width == 0 else soft_labels(ages, width)
    return (share * F.cross_entropy(age_logits.float(), labels, reduction="none")).mean()


def compute_age_error(age_logits: Tensor, ages: Tensor, share: float | Tensor = 1.0) -> Tensor:
    """E |V(G(x0, a1)) - a1| in years, V's reading being the expectation of its distribution (DEX).

    Where V's distribution is flat, its cross-entropy hardly tells a face that is six years off from one that is right.

    Args:
        age_logits: V's logits [N, 101].
        ages: target ages [N].
        share: how much each face counts, one for all or [N].
    """
    return (share * (expected_age(age_logits) - ages).abs()).mean()


def soft_labels(ages: Tensor, width: float) -> Tensor:
    """Ages [N] -> Gaussian distributions over V's classes [N, 101], normalised."""
    classes = torch.arange(NUM_AGES, device=ages.device)
    return torch.softmax(-0.5 * ((classes - ages[:, None]) / width) ** 2, dim=1)


def compute_generator_gan_loss(fake_scores: Tensor) -> Tensor:
    """L_GAN(G) = E (D(G(x0, a1)) - 1)^2 (LSGAN, Mao et al. 2017)."""
    return ((fake_scores.float() - 1) ** 2).mean()


def compute_discriminator_gan_loss(real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """L_GAN(D) = E D(G(x0, a1))^2 + E (D(y) - 1)^2."""
    return (fake_scores.float() ** 2).mean() + ((real_scores.float() - 1) ** 2).mean()


def compute_r1_penalty(discriminator: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """R1 = 1/2 E |grad_y D(y)|^2 on real images (Mescheder et al. 2018)."""
    images = images.detach().requires_grad_(True)
    scores = discriminator(images)
    # Patch scores share no normalisation with the image size when averaged over the patches.
    gradient = torch.autograd.grad(scores.mean(dim=(1, 2, 3)).sum(), images, create_graph=True)[0]
    return 0.5 * gradient.pow(2).sum(dim=(1, 2, 3)).mean()


def compute_gender_loss(gender_logits: Tensor, female: Tensor) -> Tensor:
    """CE(gender, V_gender(G(x0, a1))): age and beards are correlated in V's eyes; this holds the gender."""
    return F.binary_cross_entropy_with_logits(gender_logits.float(), female)


def compute_residual_loss(edited: Tensor, images: Tensor, outside: float, background: Tensor) -> Tensor:
    """E weight |G(x0, a1) - x0|_1 with weight 1 on the face, rising to `outside` where `background` is 1."""
    weight = 1 + (outside - 1) * background
    return (weight * (edited - images).abs()).mean()


def compute_distillation_loss(edited: Tensor, taught: Tensor, background: Tensor) -> Tensor:
    """E (G(x0, a1) - T(x0, a1))^2 on the face: what the teachers make of it on average (`train.teachers`)."""
    return ((1 - background) * (edited - taught)).square().mean()


def compute_smoothness_loss(edited: Tensor, images: Tensor) -> Tensor:
    """Total variation of the change, E |grad (G(x0, a1) - x0)|_1: ripples and strokes cost, shading is nearly free."""
    change = edited - images
    return change.diff(dim=2).abs().mean() + change.diff(dim=3).abs().mean()


def compute_patchiness_loss(edited: Tensor, images: Tensor, background: Tensor, strong: float = 0.04) -> Tensor:
    """How much of the face changes a little in patches, 0..1: mean of p^2 / (p^2 + strong^2) of patches p of light.

    Patches are the change of luma between a 96th and a tenth of the side in size: wrinkles are finer, shading is
    coarser. The mean saturates (Geman and McClure 1987): a fold costs no more when it deepens, while V is content
    with a little dirt all over a cheek, which reads as age too.

    Args:
        edited, images: [N, 3, H, W], H = W, at least 96.
        background: see above.
        strong: of the range 2; weaker patches cost by their square.
    """
    change = F.adaptive_avg_pool2d(luma(edited - images)[:, None], _PATCH_CELLS)
    coarse = change
    for _ in range(2):
        coarse = F.avg_pool2d(coarse, 9, stride=1, padding=4, count_include_pad=False)
    square = (change - coarse).square()
    face = 1 - F.adaptive_avg_pool2d(background.expand(len(images), 1, *images.shape[2:]), _PATCH_CELLS)
    return (face * square / (square + strong**2)).mean()


def compute_darkening_loss(
    edited: Tensor, images: Tensor, free: float | Tensor = 0.2, full_light: float = 0.0
) -> Tensor:
    """Mean square of what pixels darken by more than `free` (of the range 2): wrinkles pass, painted strokes cost.

    Args:
        edited, images: [N, 3, H, W].
        free: one for all, or [N]: a face that grows younger loses wrinkles and needs less of it.
        full_light: pixels darker than this (of 0..1) darken by more than it seems, in proportion: a fold takes a
            share of the light, and what is a fold in bright skin is a black line in the shade. 0: all alike.
    """
    light = luma(images)
    darkening = light - luma(edited)
    if full_light > 0:
        darkening = darkening / ((light + 1) / (2 * full_light)).clamp(_DARKEST, 1)
    free = torch.as_tensor(free, device=images.device).view(-1, 1, 1)
    return (darkening - free).clamp(min=0).square().mean()


def compute_brightening_loss(edited: Tensor, images: Tensor, free: float | Tensor = 0.2) -> Tensor:
    """Mean square of what pixels brighten by more than `free` (of the range 2): wrinkles fill, white lips cost.

    Args: as of `compute_darkening_loss`.
    """
    return compute_darkening_loss(images, edited, free)


def compute_chroma_loss(edited: Tensor, images: Tensor) -> Tensor:
    """Mean squared change of the two colour differences R - Y and B - Y: coloured fringes cost, greying is cheap.

    Of a generator that shades, `images` are the faces with its change of lightness (`take_lightness`), here and below.
    """
    red, blue = colour_differences(edited - images)
    return (red**2 + blue**2).mean()


def compute_discolouring_loss(edited: Tensor, images: Tensor, free: float = 0.05) -> Tensor:
    """Mean square of what R - Y and B - Y change by more than `free` (of the range 2): a tan passes, red spots cost."""
    red, blue = colour_differences(edited - images)
    return sum(((change.abs() - free).clamp(min=0) ** 2).mean() for change in (red, blue))


def colour_differences(images: Tensor) -> tuple[Tensor, Tensor]:
    """[N, 3, H, W] -> R - Y and B - Y of BT.601, each [N, H, W] float32."""
    y = luma(images)
    return images[:, 0].float() - y, images[:, 2].float() - y


def show_on_face(edited: Tensor, images: Tensor, background: Tensor) -> Tensor:
    """The edit on the face alone, softly, the image where `background` is 1: as the app pastes it."""
    return images + (1 - background) * (edited - images)


def hide_background(images: Tensor, background: Tensor) -> Tensor:
    """The face alone, softly, grey (0) where `background` is 1."""
    return (1 - background) * images


def take_lightness(edited: Tensor, images: Tensor, shading: bool = False) -> Tensor:
    """The edit's change of lightness without its change of colour; with `shading` what darkens does so as a shadow."""
    lightness = luma(edited - images)[:, None].to(edited.dtype)
    return add_change(images, lightness.expand_as(images), shading)


def fade_colour_change(edited: Tensor, images: Tensor, share: float, shading: bool = False) -> Tensor:
    """The edit with `share` of its change of colour and all of its change of lightness: see `take_lightness`."""
    lightness = take_lightness(edited, images, shading)
    return lightness + share * (edited - lightness)


def background_prior(side: int, device: torch.device | str = "cpu") -> Tensor:
    """Where FFHQ-aligned squares show background: [side, side], 0 on the mean face's oval, 1 well outside it.

    What a single face shows is known better by its skin map (train/skin_maps.py).
    """
    axis = (torch.arange(side, device=device) + 0.5) / side
    x, y = (axis[None, :] - 0.5) / 0.31, (axis[:, None] - 0.54) / 0.39
    radius = torch.sqrt(x**2 + y**2)
    t = ((radius - 0.9) / 0.4).clamp(0, 1)
    return t * t * (3 - 2 * t)
