"""Squares of chips: faces of data sets that show no more than V's tight view, for the generator to train on.

python -m train.place_chips --data UTKFace.zip All-Age-Faces.zip --glasses runs/classifier-glasses --out runs/chips.zip

FFHQ has few dark, East Asian, flash-lit and retouched faces. Of the chips it takes those of ages within Q that are
sharp and in colour and whose age V does not doubt, as many of each five years, gender and lightness as there are. Each
lies in a square where FFHQ's alignment would have it; around it is its own reflection, blurred. Whether it wears
glasses, a reader of them says (`classifier-glasses.yaml`). `train.map_skin` finds the faces in such squares too.
"""

import argparse
import csv
import io
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy import ndimage
from torch import Tensor
from tqdm import tqdm

from agetransformer.checkpoint import CheckpointError
from agetransformer.classifier import CHIP_X, CHIP_Y, AgeClassifier, expected_age
from agetransformer.files import written_whole
from train.attributes import AGE, NO_GLASSES
from train.data import Faces, load_faces, to_unit
from train.start import load_frozen

SIDE = 256  # px: of a square; the chips of our data fill 161 of them with their 144
_CHIP = 144  # px: they are compared at this size
_DOUBT = 8.0  # years between label and V, from which on one of them is taken to be wrong
_BLURRED = 0.4  # share of the chips that are too blurred
_COLOURLESS = 6.0  # levels of 255: a lower mean distance of the channels is a grey photo
_TONES = 3  # groups of lightness
_FADE = 8  # px beyond the chip: so far its reflection goes over into the blurred one
_BLUR = 10.0  # px


def place_chip(chip: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The FFHQ-aligned square [side, side, 3] uint8 of a chip [S, S, 3] uint8, with its blurred reflection around."""
    (left, right), (top, bottom) = ([round(side * edge) for edge in edges] for edges in (CHIP_X, CHIP_Y))
    size = (right - left, bottom - top)
    inner = np.asarray(Image.fromarray(chip).resize(size, Image.Resampling.LANCZOS))
    square = np.pad(inner, ((top, side - bottom), (left, side - right), (0, 0)), mode="reflect").astype(np.float32)
    outside = np.ones((side, side), bool)
    outside[top:bottom, left:right] = False
    blurred = ndimage.gaussian_filter(square, (_BLUR, _BLUR, 0))
    share = (ndimage.distance_transform_edt(outside) / _FADE).clip(0, 1)[..., None]
    return (square + share * (blurred - square)).round().astype(np.uint8)


def measure_sharpness(images: Tensor) -> Tensor:
    """uint8 [N, 3, S, S] -> [N]: the standard deviation of the Laplacian, for the contrast that there is."""
    grey = images.float().mean(dim=1)
    laplacian = (
        4 * grey[:, 1:-1, 1:-1] - grey[:, :-2, 1:-1] - grey[:, 2:, 1:-1] - grey[:, 1:-1, :-2] - grey[:, 1:-1, 2:]
    )
    return laplacian.std(dim=(1, 2)) / grey.std(dim=(1, 2)).clamp(min=1)


def measure_colour(images: Tensor) -> Tensor:
    """uint8 [N, 3, S, S] -> [N]: the mean distance of a pixel's largest from its smallest channel, in levels."""
    return (images.amax(dim=1) - images.amin(dim=1)).float().mean(dim=(1, 2))


def measure_lightness(images: Tensor) -> Tensor:
    """uint8 [N, 3, S, S] -> [N]: the median of the middle of the face, in levels."""
    low, high = round(0.3 * images.shape[-1]), round(0.7 * images.shape[-1])
    return images[:, :, low:high, low:high].float().mean(dim=1).flatten(1).median(dim=1).values


def choose_evenly(cells: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Indices, rising, of `count` of the items: as many of each cell [N] as there are, up to the same number."""
    order = np.random.default_rng(seed).permutation(len(cells))
    rank = np.empty(len(cells), int)
    for cell in np.unique(cells):
        own = order[cells[order] == cell]
        rank[own] = np.arange(len(own))
    return np.sort(order[np.argsort(rank[order], kind="stable")[:count]])


def in_parts(measure: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """A measure of uint8 images [N, 3, S, S], [N], taken of some at a time: as floats all would fill the memory."""
    return torch.cat([measure(part) for part in tqdm(images.split(128), desc="chips", disable=None)])


@torch.inference_mode()
def read_all(reader: AgeClassifier, images: Tensor) -> Tensor:
    """What a classifier says of uint8 chips [N, 3, S, S]: [N], on its scale of 0..100."""
    size = (reader.config.resolution,) * 2

    def read(part: Tensor) -> Tensor:
        view = F.interpolate(
            to_unit(part).contiguous(memory_format=torch.channels_last),
            size,
            mode="bilinear",
            antialias=True,
            align_corners=False,
        )
        return expected_age(reader(view)[0])

    return in_parts(read, images)


def find_fitting(faces: Faces) -> Tensor:
    """Indices of the chips of ages within Q that are sharp and in colour."""
    measures = (measure_sharpness, measure_colour)
    sharpness, colour = (in_parts(measure, faces.images) for measure in measures)
    rounded = faces.ages.round()
    fit = (rounded >= AGE.targets[0]) & (rounded <= AGE.targets[-1])
    return (fit & (sharpness >= sharpness.quantile(_BLURRED)) & (colour >= _COLOURLESS)).nonzero().squeeze(1)


def choose_chips(faces: Faces, fitting: Tensor, read_ages: Tensor, count: int, seed: int = 0) -> np.ndarray:
    """Indices of the chips to take, rising.

    Args:
        faces: all chips.
        fitting: the indices [M] to choose from.
        read_ages: what V says of those, [M].
    """
    fitting = fitting[(read_ages - faces.ages[fitting]).abs() <= _DOUBT]
    if len(fitting) == 0:
        return np.array([], int)
    lightness = in_parts(measure_lightness, faces.images[fitting])
    tone = torch.bucketize(lightness, lightness.quantile(torch.linspace(0, 1, _TONES + 1)[1:-1]))
    bins = ((faces.ages[fitting].round() - AGE.targets[0]) / AGE.bin).long()
    cells = (bins * 2 + faces.female[fitting].long()) * _TONES + tone
    return fitting.numpy()[choose_evenly(cells.numpy(), count, seed)]


def place_chips(
    archives: Sequence[Path], classifier: Path, glasses: Path, out: Path, count: int, cache: str = ".cache"
) -> int:
    """Write the archive of the squares; returns how many it holds.

    Raises:
        CheckpointError, FileNotFoundError, ValueError: a classifier or archive is missing or broken, or no chip fits.
    """
    if len({archive.stem for archive in archives}) < len(archives):
        raise ValueError("two archives have the same name, which goes before the names of their faces: rename one")
    age_reader, glasses_reader = load_frozen(classifier), load_frozen(glasses)
    faces = load_faces(tuple(map(str, archives)), _CHIP, True, cache)
    fitting = find_fitting(faces)
    chosen = choose_chips(faces, fitting, read_all(age_reader, faces.images[fitting]), count)
    if len(chosen) == 0:
        raise ValueError(f"none of the {len(faces)} chips is sharp, in colour and of an age that V does not doubt")
    with_glasses = read_all(glasses_reader, faces.images[chosen]) > 50
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["file", "age", "gender", "glasses"])
    out.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(out) as aside, zipfile.ZipFile(aside, "w") as archive:
        for index, wears in zip(chosen.tolist(), with_glasses.tolist(), strict=True):
            # Archives number their faces alike, and maps go by name; whether one is held out goes by its last part.
            name = f"{archives[int(faces.source[index])].stem}/{faces.names[index]}"
            gender = "female" if faces.female[index] else "male"
            rows.writerow([name, f"{float(faces.ages[index]):g}", gender, "Glasses" if wears else NO_GLASSES[0]])
            data = io.BytesIO()
            square = place_chip(faces.images[index].permute(1, 2, 0).numpy())
            Image.fromarray(square).save(data, "WEBP", quality=95)
            archive.writestr(zipfile.ZipInfo(name), data.getvalue())
        archive.writestr(zipfile.ZipInfo("labels.csv"), table.getvalue(), zipfile.ZIP_DEFLATED)
    return len(chosen)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", type=Path, required=True, help="archives of chips")
    parser.add_argument("--out", type=Path, required=True, help="the archive to write, .zip")
    parser.add_argument("--count", type=int, default=2000, help="faces to take at most (default: %(default)s)")
    parser.add_argument(
        "--classifier", type=Path, default=Path("checkpoints/classifier"), help="V (default: %(default)s)"
    )
    parser.add_argument("--glasses", type=Path, required=True, help="the reader of glasses, by classifier-glasses.yaml")
    parser.add_argument("--cache", default=".cache", help="folder for decoded data (default: %(default)s)")
    given = parser.parse_args()
    if given.count < 1 or given.out.suffix.lower() != ".zip":
        parser.error("--count is at least 1, and --out a zip archive")
    try:
        taken = place_chips(given.data, given.classifier, given.glasses, given.out, given.count, given.cache)
    except (CheckpointError, OSError, ValueError) as error:
        sys.exit(f"train.place_chips: {error}")
    print(f"{taken} faces in {given.out}")


if __name__ == "__main__":
    main()
