"""What one step of the generator's training sees: faces drawn evenly over age, and the ages that they are edited to."""

from typing import NamedTuple

import torch
from torch import Tensor

from train.attributes import AGE, Attribute
from train.data import Faces, to_unit
from train.losses import background_prior
from train.parallel import WHOLE, Share
from train.skin_maps import resize_skin

_FEW = 8  # faces of a cell, from which on all of its share is theirs


class Batch(NamedTuple):
    """One step's faces."""

    images: Tensor  # [N, 3, R, R] x0 in [-1, 1]
    ages: Tensor  # [N] a0
    targets: Tensor  # [N] a1
    traits: Tensor  # [N] int64, gender and glasses of x0: see Faces.traits
    real: Tensor  # [N, 3, R, R] other real faces, for D
    real_ages: Tensor  # [N] their ages
    real_traits: Tensor  # [N]
    background: Tensor  # [R, R] or [N, 1, R, R]: 0 on the face of x0, 1 where nothing should change
    real_background: Tensor  # the same of the other faces
    share: Share = WHOLE  # the part of the whole batch that this is

    @property
    def female(self) -> Tensor:
        """[N] float32: 1 where x0 is female, 0 where male."""
        return (self.traits % 2).float()

    @property
    def glasses(self) -> Tensor:
        """[N] float32: 1 where x0 wears glasses, else 0."""
        return (self.traits // 2).float()


def draw_targets(ages: Tensor, min_gap: int, random: torch.Generator, attribute: Attribute = AGE) -> Tensor:
    """a1 [N], uniform from {a in Q: |a - a0| >= a*} (paper, section 3.2)."""
    candidates = torch.tensor(attribute.targets)
    allowed = (candidates - ages.cpu()[:, None]).abs() >= min_gap
    if not allowed.any(dim=1).all():
        raise ValueError(f"min_gap: no target is {min_gap} or more away from a face in the middle; make it smaller")
    return candidates[torch.multinomial(allowed.float(), 1, generator=random).squeeze(1)].float()


def age_balance(ages: Tensor, attribute: Attribute = AGE, traits: Tensor | None = None) -> Tensor:
    """Sampling weight [N] that makes five-year bins (the attribute's bins) equally likely.

    With `traits` [N] int64, each trait gets in every bin the share that it has in all faces, so that no trait tells
    the age: otherwise a D that knows the age draws glasses on the old.
    """
    bins = ((ages - attribute.targets[0]) / attribute.bin).long().clamp(0, 9)
    if traits is None:
        return 1 / torch.bincount(bins, minlength=10)[bins].float()
    cells = bins * (int(traits.max()) + 1) + traits
    # Two or three faces that are all of their cell would be drawn a hundred times as often as others.
    return torch.bincount(traits)[traits] / torch.bincount(cells)[cells].clamp(min=_FEW).float()


def draw_batch(
    faces: Faces,
    weights: Tensor,  # [len(faces)] how often each is drawn, from `age_balance`
    count: int,  # faces that each process edits
    step: int,
    seed: int = 0,
    min_gap: int = 25,  # a*, see `draw_targets`
    attribute: Attribute = AGE,
    share: Share = WHOLE,
) -> Batch:
    """The faces of step `step`: a function of the seed and the step alone, so that a resumed run sees the same.

    All processes draw the same batch of `count` faces for each of them, and take their `share`.
    """
    random = torch.Generator().manual_seed(seed * 1_000_003 + step)
    total = count * share.count
    index = torch.multinomial(weights, 2 * total, generator=random)
    flip = torch.rand(2 * total, generator=random) < 0.5
    targets = draw_targets(faces.ages.cpu()[index[:total]], min_gap, random, attribute)
    # Two halves, edited and real faces: the share of each.
    index, flip = (share.of(drawn.view(2, total), 1).flatten() for drawn in (index, flip))
    images = faces.images[index.to(faces.images.device, non_blocking=True)]
    skin = None if faces.skin is None else faces.skin[index.to(faces.skin.device, non_blocking=True)]
    index = index.to(faces.ages.device)
    return assemble_batch(images, flip, faces.ages[index], faces.traits[index], share.of(targets), share, skin)


def assemble_batch(
    images: Tensor,
    flip: Tensor,
    ages: Tensor,
    traits: Tensor,
    targets: Tensor,
    share: Share,
    skin: Tensor | None = None,
) -> Batch:
    """uint8 images [2N, 3, R, R], the faces to edit and then the other real ones, their labels [2N], targets [N].

    Args:
        skin: skin maps [2N, 1, M, M] uint8; None: the mean face's oval for all.
    """
    device, side = images.device, images.shape[-1]
    flip = flip.to(device, non_blocking=True)[:, None, None, None]
    if skin is None:
        background = real_background = background_prior(side, device)
    else:
        skin = skin.to(device, non_blocking=True)
        background, real_background = (1 - resize_skin(torch.where(flip, skin.flip(3), skin), side)).chunk(2)
    images = to_unit(images)
    images = torch.where(flip, images.flip(3), images)
    images, real = images.contiguous(memory_format=torch.channels_last).chunk(2)
    ages, traits, targets = (labels.to(device, non_blocking=True) for labels in (ages, traits, targets))
    (ages, real_ages), (traits, real_traits) = ages.chunk(2), traits.chunk(2)
    return Batch(images, ages, targets, traits, real, real_ages, real_traits, background, real_background, share)
