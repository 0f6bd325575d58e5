"""Where a face may age: its skin, without hair, hat, background, eyes and the inside of the mouth.

python -m train.map_skin --data FFHQ.zip --out runs/skin.npz [--workers 2]

The map is MediaPipe's outline of the face, raised to the hair line, less what near its border has not the colour of the
rest. It is rough, and only weighs losses (`skin_maps` of train.generator): V and D see no change elsewhere, so neither
asks for grey hair on a forehead, blue teeth, milky eyes or folds on the collar. The photos are read by processes of
`agetransformer.face_worker`, which needs requirements.txt.
"""

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from threading import Lock

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.color import rgb2lab
from tqdm import tqdm

from agetransformer.cpus import usable_cpus
from agetransformer.face_outline import raised_outline
from train.archives import Archive, open_image, read_table
from train.face_maps import save_maps
from train.face_reader import FaceReader, FaceReaderError
from train.options import maps_parser
from train.skin_maps import SIDE

_READ_SIDE = 512  # px: of the square that MediaPipe sees
_SIDE = 192  # px: the colours are compared at this size
_FEATHER = 3.0  # px, of the outline
_HAIR_LINE = 0.92  # of a map between the two outlines: a change is dearer where hair would grow
_EDGE = 7  # px, a square: half of it is what skin keeps from hair, so that no pattern comes at the hair line
_RIM = 8  # px: so far beyond a shine its soft rim reaches
_SURE = 4  # px: so far inside MediaPipe's own outline everything counts as skin, brows and beards too,
_BROWS = 0.15  # but not in this upper part of the outline's height, where hair may hang
_SAMPLE = 6  # px: further inside lies what the skin's colour is taken from
_SPREAD = (8.5, 2.5, 3.0)  # L, a, b: the least deviation that is no difference; light differs more than colour
_SAME, _OTHER = 2.0, 3.5  # deviations: up to the first skin, from the second on something else


def draw_skin_map(image: np.ndarray, oval: np.ndarray, mouth: np.ndarray, eyes: np.ndarray) -> np.ndarray:
    """The map of one face.

    Args:
        image: FFHQ-aligned square [S, S, 3] uint8.
        oval: closed outline of the face [K, 2], fractions of the side.
        mouth: the same of what is between the lips.
        eyes: the same of what is between the lids, [2, K, 2].
    Returns:
        [SIDE, SIDE] uint8: 255 where the face may age, 0 where it may not.
    """
    small = Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    lab = ndimage.gaussian_filter(rgb2lab(np.asarray(small)), (1.5, 1.5, 0))
    face = _fill(oval)
    distance = _difference(lab, ndimage.binary_erosion(face, iterations=_SAMPLE))
    sure = ndimage.binary_erosion(face, iterations=_SURE)
    sure[: round(_SIDE * (oval[:, 1].min() + _BROWS * np.ptp(oval[:, 1])))] = False
    other = ((distance - _SAME) / (_OTHER - _SAME)).clip(0, 1) * ~sure
    other = ndimage.median_filter(other, 5)  # single hairs and spots
    inside = ndimage.binary_dilation(_fill(mouth), iterations=1) | _fill(eyes[0]) | _fill(eyes[1])
    upper = _fill(raised_outline(oval))
    alike = (face | upper) & (other < 0.5)
    shine = ndimage.binary_fill_holes(alike) & ~alike  # on the forehead, with skin all around it
    other[ndimage.binary_dilation(shine, iterations=_RIM)] = 0
    outline = np.maximum(face, _HAIR_LINE * upper)
    skin = ndimage.gaussian_filter(outline.astype(np.float32), _FEATHER) * (1 - other)
    skin = ndimage.grey_erosion(skin, (_EDGE, _EDGE))
    skin = (255 * ndimage.gaussian_filter(skin * ~inside, 1)).round().astype(np.uint8)
    return np.asarray(Image.fromarray(skin).resize((SIDE, SIDE), Image.Resampling.BOX))


def read_skin_map(square: np.ndarray, reader: FaceReader) -> np.ndarray | None:
    """The map [SIDE, SIDE] uint8 of an FFHQ-aligned square [S, S, 3] uint8; None where no face is found.

    Raises:
        FaceReaderError: the process that reads faces died.
    """
    image = np.asarray(Image.fromarray(square).resize((_READ_SIDE, _READ_SIDE), Image.Resampling.LANCZOS))
    face = reader.read(image)
    # Another face may stand beside the one that the square was aligned to.
    if face is None or np.abs(face.oval.mean(axis=0) - 0.5).max() > 0.2:
        return None
    return draw_skin_map(image, face.oval, face.mouth, face.eyes)


def _difference(lab: np.ndarray, sample: np.ndarray) -> np.ndarray:
    """[H, W]: how many deviations each pixel's colour is from the median colour of the sample [H, W]."""
    if not sample.any():
        return np.zeros(sample.shape)
    difference = lab - np.median(lab[sample], axis=0)
    spread = 1.48 * np.median(np.abs(difference[sample]), axis=0)  # the standard deviation, of normal values
    return np.sqrt(((difference / np.maximum(spread, _SPREAD)) ** 2).sum(axis=-1))


def _fill(outline: np.ndarray) -> np.ndarray:
    """[_SIDE, _SIDE] bool, true inside."""
    mask = Image.new("1", (_SIDE, _SIDE))
    ImageDraw.Draw(mask).polygon([tuple(point) for point in (outline * _SIDE).tolist()], fill=1)
    return np.array(mask)


def draw_skin_maps(archives: Sequence[Path], workers: int) -> dict[str, np.ndarray]:
    """File name -> map, for the faces of the archives that MediaPipe finds.

    Raises:
        FaceReaderError: MediaPipe is missing.
        FileNotFoundError, ValueError: an archive is missing or broken.
    """
    names = {archive: [row["file"] for row in read_table(archive)] for archive in archives}  # before MediaPipe starts
    readers: SimpleQueue[FaceReader] = SimpleQueue()
    maps: dict[str, np.ndarray] = {}
    opened = [FaceReader() for _ in range(workers)]
    for reader in opened:
        readers.put(reader)
    one_at_a_time = Lock()  # a zip is one file

    def draw(archive: Archive, name: str) -> None:
        with one_at_a_time:  # here and not before, or the whole archive would wait in memory
            data = archive.read(name)
        square = np.asarray(open_image(data, f"{archive.path}: {name}"))
        reader = readers.get()
        try:
            drawn = read_skin_map(square, reader)
        finally:
            readers.put(reader)
        if drawn is not None:
            maps[name] = drawn

    try:
        for path, files in names.items():
            with closing(Archive(path)) as archive, ThreadPoolExecutor(workers) as pool:
                done = pool.map(partial(draw, archive), files)
                list(tqdm(done, total=len(files), desc=path.name, unit="face", disable=None))
    finally:
        for reader in opened:
            reader.close()
    return maps


def main() -> None:
    """Command line."""
    parser = maps_parser(__doc__)
    parser.add_argument("--workers", type=int, default=usable_cpus(), help="processes that run MediaPipe")
    arguments = parser.parse_args()
    try:
        maps = draw_skin_maps(arguments.data, arguments.workers)
        if not maps:
            sys.exit("no face was found in the data: are these FFHQ-aligned squares?")
        save_maps(arguments.out, maps)
    except (FaceReaderError, OSError, ValueError) as error:
        sys.exit(str(error))
    print(f"{len(maps)} skin maps in {arguments.out}")


if __name__ == "__main__":
    main()
