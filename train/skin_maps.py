"""Skin maps: where each face of a data set may age. `python -m train.map_skin` draws them.

A map is [SIDE, SIDE] in the frame of the FFHQ-aligned square: 1 (255 on disk) on skin, brows and beard, 0 on hair, hat,
background and the inside of the mouth.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from agetransformer.files import written_whole
from train.losses import background_prior

SIDE = 96


def save_skin_maps(path: Path, maps: Mapping[str, np.ndarray]) -> None:
    """Write maps, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, names=np.array(list(maps)), maps=np.stack(list(maps.values())))


def load_skin_maps(path: str | Path, names: Sequence[str]) -> Tensor:
    """The maps of the faces `names`: [N, 1, SIDE, SIDE] uint8; the mean face's oval where a face has none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file of `save_skin_maps`, or one of other faces.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file; `python -m train.map_skin` writes it")
    try:
        with np.load(path) as file:
            known = dict(zip(file["names"].tolist(), file["maps"], strict=True))
    except (ValueError, KeyError, OSError, BadZipFile) as error:
        raise ValueError(
            f"{path}: not skin maps, or cut short ({error}); `python -m train.map_skin` writes them"
        ) from error
    if not any(name in known for name in names):
        raise ValueError(f"{path}: no map of any face of the data; `python -m train.map_skin` writes them")
    return stack_skin_maps([known.get(name) for name in names])


def stack_skin_maps(maps: Sequence[np.ndarray | None]) -> Tensor:
    """Maps [SIDE, SIDE] uint8 -> [N, 1, SIDE, SIDE]; None is the mean face's oval."""
    mean = ((1 - background_prior(SIDE)) * 255).round().to(torch.uint8).numpy()
    return torch.from_numpy(np.stack([mean if drawn is None else drawn for drawn in maps]))[:, None]


def resize_skin(maps: Tensor, side: int) -> Tensor:
    """uint8 maps [N, 1, M, M] -> float32 [N, 1, side, side] in 0..1."""
    return F.interpolate(maps.float() / 255, size=(side, side), mode="bilinear", align_corners=False)
