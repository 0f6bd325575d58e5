"""Where a face may age: its skin, without hair, hat, background and the inside of the mouth.

python -m train.map_skin --data FFHQ.zip --out runs/skin.npz [--hair runs/hair.npz] [--workers 2]

The map is MediaPipe's outline of the face, raised to the hair line, less what near its border has not the colour of the
rest. It is rough, and only weighs losses (`skin_maps` of train.generator): V and D see no change elsewhere, so neither
asks for grey hair on a forehead, blue teeth or folds on the collar. The photos are read by processes of
`agetransformer.face_worker`, which needs requirements.txt.
"""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from agetransformer.cpus import usable_cpus
from train.archives import open_archive, open_image, read_table
from train.face_reader import FaceReader, FaceReaderError
from train.face_regions import (
    OTHER,
    SAME,
    WORKING_SIDE,
    colour_distance,
    fill_outline,
    inner_face,
    smooth_lab,
    upper_face,
)
from train.hair_map import draw_hair_map
from train.skin_maps import SIDE, save_maps

_READ_SIDE = 512  # px: of the square that MediaPipe sees
_FEATHER = 3.0  # px, of the outline
_HAIR_LINE = 0.92  # of a map between the two outlines: a change is dearer where hair would grow
_EDGE = 7  # px, a square: half of it is what skin keeps from hair, so that no pattern comes at the hair line
_RIM = 8  # px: so far beyond a shine its soft rim reaches
_SURE = 4  # px: so far inside MediaPipe's own outline everything counts as skin, brows and beards too,
_BROWS = 0.15  # but not in this upper part of the outline's height, where hair may hang


def draw_skin_map(image: np.ndarray, oval: np.ndarray, mouth: np.ndarray) -> np.ndarray:
    """The map of one face.

    Args:
        image: FFHQ-aligned square [S, S, 3] uint8.
        oval: closed outline of the face [K, 2], fractions of the side.
        mouth: the same of what is between the lips.
    Returns:
        [SIDE, SIDE] uint8: 255 where the face may age, 0 where it may not.
    """
    face = fill_outline(oval)
    distance = colour_distance(smooth_lab(image), inner_face(face))
    sure = ndimage.binary_erosion(face, iterations=_SURE)
    sure[: round(WORKING_SIDE * (oval[:, 1].min() + _BROWS * np.ptp(oval[:, 1])))] = False
    other = ((distance - SAME) / (OTHER - SAME)).clip(0, 1) * ~sure
    other = ndimage.median_filter(other, 5)  # single hairs and spots
    lips = ndimage.binary_dilation(fill_outline(mouth), iterations=1).astype(np.float32)
    upper = upper_face(oval)
    alike = (face | upper) & (other < 0.5)
    shine = ndimage.binary_fill_holes(alike) & ~alike  # on the forehead, with skin all around it
    other[ndimage.binary_dilation(shine, iterations=_RIM)] = 0
    outline = np.maximum(face, _HAIR_LINE * upper)
    skin = ndimage.gaussian_filter(outline.astype(np.float32), _FEATHER) * (1 - other)
    skin = ndimage.grey_erosion(skin, (_EDGE, _EDGE))
    skin = ndimage.gaussian_filter(skin * (1 - lips), 1)
    return np.asarray(Image.fromarray((255 * skin).round().astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BOX))


class FaceMaps(NamedTuple):
    """Of one face, [SIDE, SIDE] uint8 each."""

    skin: np.ndarray
    hair: np.ndarray | None  # where it was asked for


def read_face_maps(square: np.ndarray, reader: FaceReader, hair: bool = False) -> FaceMaps | None:
    """The maps of an FFHQ-aligned square [S, S, 3] uint8; None where no face is found.

    Raises:
        FaceReaderError: the process that reads faces died.
    """
    image = np.asarray(Image.fromarray(square).resize((_READ_SIDE, _READ_SIDE), Image.Resampling.LANCZOS))
    face = reader.read(image, person=hair)
    # Another face may stand beside the one that the square was aligned to.
    if face is None or np.abs(face.oval.mean(axis=0) - 0.5).max() > 0.2:
        return None
    skin = draw_skin_map(image, face.oval, face.mouth)
    return FaceMaps(skin, None if face.person is None else draw_hair_map(image, face.oval, face.person, skin))


def draw_face_maps(archives: Sequence[Path], workers: int, hair: bool = False) -> dict[str, FaceMaps]:
    """File name -> maps, for the faces of the archives that MediaPipe finds.

    Raises:
        FaceReaderError: MediaPipe is missing.
        FileNotFoundError, ValueError: an archive is missing or broken.
    """
    names = {archive: [row["file"] for row in read_table(archive)] for archive in archives}  # before MediaPipe starts
    readers: SimpleQueue[FaceReader] = SimpleQueue()
    maps: dict[str, FaceMaps] = {}
    opened = [FaceReader() for _ in range(workers)]
    for reader in opened:
        readers.put(reader)

    def draw(name: str, data: bytes) -> None:
        square = np.asarray(open_image(data, name))
        reader = readers.get()
        try:
            drawn = read_face_maps(square, reader, hair)
        finally:
            readers.put(reader)
        if drawn is not None:
            maps[name] = drawn

    try:
        for archive, files in names.items():
            with open_archive(archive) as read, ThreadPoolExecutor(workers) as pool:
                encoded = [read(name) for name in files]
                done = pool.map(draw, files, encoded)
                list(tqdm(done, total=len(files), desc=archive.name, unit="face", disable=None))
    finally:
        for reader in opened:
            reader.close()
    return maps


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", type=Path, required=True, help="archives of FFHQ-aligned faces")
    parser.add_argument("--out", type=Path, required=True, help="the file of skin maps to write, .npz")
    parser.add_argument("--hair", type=Path, help="and one of hair maps (`hair_maps` of train.generator)")
    parser.add_argument("--workers", type=int, default=usable_cpus(), help="processes that run MediaPipe")
    arguments = parser.parse_args()
    try:
        maps = draw_face_maps(arguments.data, arguments.workers, arguments.hair is not None)
        if not maps:
            sys.exit("no face was found in the data: are these FFHQ-aligned squares?")
        save_maps(arguments.out, {name: drawn.skin for name, drawn in maps.items()})
        if arguments.hair is not None:
            save_maps(arguments.hair, {name: drawn.hair for name, drawn in maps.items() if drawn.hair is not None})
    except (FaceReaderError, OSError, ValueError) as error:
        sys.exit(str(error))
    print(f"{len(maps)} skin maps in {arguments.out}" + (f", hair maps in {arguments.hair}" if arguments.hair else ""))


if __name__ == "__main__":
    main()
