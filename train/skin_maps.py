"""Skin maps: where each face of a data set may age. `python -m train.map_skin` draws them.

A map is [SIDE, SIDE] in the frame of the FFHQ-aligned square: 1 (255 on disk) on skin, brows and beard, 0 on hair, hat,
background, eyes and the inside of the mouth.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from train.face_maps import read_maps
from train.losses import background_prior

SIDE = 128
_MOST_MISSING = 0.2  # of the faces: in some MediaPipe finds none


def load_skin_maps(path: str | Path, names: Sequence[str]) -> Tensor:
    """The maps of the faces `names`: [N, 1, SIDE, SIDE] uint8; the mean face's oval where a face has none.

    Raises:
        FileNotFoundError, ValueError: see `read_maps`; or so many have none that they were drawn of other data; or an
            earlier version drew them.
    """
    maps = read_maps(path, names, "train.map_skin")
    if any(one is not None and one.shape != (SIDE, SIDE) for one in maps):
        raise ValueError(f"{path}: drawn by another version; please draw them anew with `python -m train.map_skin`")
    missing = sum(one is None for one in maps)
    if missing > _MOST_MISSING * len(maps):
        raise ValueError(
            f"{path}: no map of {missing} of the {len(maps)} faces; name all archives of the training to "
            "`python -m train.map_skin`"
        )
    return stack_skin_maps(maps)


def stack_skin_maps(maps: Sequence[np.ndarray | None]) -> Tensor:
    """Maps [SIDE, SIDE] uint8 -> [N, 1, SIDE, SIDE]; None is the mean face's oval."""
    mean = ((1 - background_prior(SIDE)) * 255).round().to(torch.uint8).numpy()
    return torch.from_numpy(np.stack([mean if drawn is None else drawn for drawn in maps]))[:, None]


def resize_skin(maps: Tensor, side: int) -> Tensor:
    """uint8 maps [N, 1, M, M] -> float32 [N, 1, side, side] in 0..1."""
    return F.interpolate(maps.float() / 255, size=(side, side), mode="bilinear", align_corners=False)
