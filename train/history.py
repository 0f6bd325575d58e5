"""Edits of earlier steps, which D is shown again: otherwise it forgets what G makes no more, and G comes back to it."""

from typing import NamedTuple

import torch
from torch import Tensor


class LabelledImages(NamedTuple):
    """What D is shown and told of some faces, edits or real ones."""

    images: Tensor  # [N, 3, R, R]
    ages: Tensor  # [N], an edit's is its target
    traits: Tensor  # [N] int64, gender and glasses


def halve(first: LabelledImages, second: LabelledImages) -> LabelledImages:
    """The first half of one and the second half of the other, which has as many images."""
    half = len(first.images) // 2
    parts = zip(first, second, strict=True)
    return LabelledImages(*(torch.cat([ours[:half], theirs[half:].to(ours.dtype)]) for ours, theirs in parts))


class History:
    """At most `size` edits of one resolution (Shrivastava et al. 2017, "Learning from Simulated and Unsupervised
    Images through Adversarial Training", section 2.3), in float16 on their device.
    """

    def __init__(self, size: int):
        self.size = size
        self._kept: list[LabelledImages] = []  # of one face each

    def exchange(self, edits: LabelledImages, random: torch.Generator) -> LabelledImages:
        """Put these edits in, each in place of one that comes out; while there is room, they come out themselves.

        Args:
            edits: of this step.
            random: which ones come out; on the CPU.
        Returns:
            As many, of this and earlier steps, in the precision of `edits`.
        """
        out = []
        for index in range(len(edits.images)):
            one = LabelledImages(*(values[index : index + 1] for values in edits))
            stored = one._replace(images=one.images.half())
            if self._kept and self._kept[0].images.shape != stored.images.shape:
                self._kept.clear()  # the next phase's resolution
            if len(self._kept) < self.size:
                self._kept.append(stored)
                out.append(one)
                continue
            place = int(torch.randint(self.size, (), generator=random))
            out.append(self._kept[place]._replace(images=self._kept[place].images.to(edits.images.dtype)))
            self._kept[place] = stored
        images, ages, traits = (torch.cat(values) for values in zip(*out, strict=True))
        return LabelledImages(images.contiguous(memory_format=torch.channels_last), ages, traits)
