"""Cuts FFHQ-style squares out of photos for another process, which then need not load MediaPipe itself.

python -m agetransformer.align_worker --size 512 --min-side 256 < requests > answers

As in agetransformer/json_lines.py, a photo a line:
Request:  {"photo": path, "stem": where to write, without the ending}
Answer:   {"faces": [path, ...], "small": faces left out as too small, "sha256": of the photo},
          {"error": sentence} if the photo cannot be used, or {"fatal": sentence} if nothing can be written
Faces are WebP files, largest first: STEM.webp, STEM_face2.webp, ...
"""

import argparse
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from agetransformer.files import written_whole
from agetransformer.imageio import PhotoError, load_photo
from agetransformer.json_lines import serve

WEBP_QUALITY = 95  # a tenth of PNG's size, and well below what a generator resolves

Cut = Callable[[Image.Image], tuple[list[Image.Image], int]]  # photo -> squares, number of faces that are too small


def cutter(size: int, min_side: int, max_faces: int) -> Cut:
    """Squares of `size` pixels around the faces whose own square is at least `min_side` photo pixels wide."""
    from agetransformer.alignment import FaceFinder, align  # not at the top: --aligned does without MediaPipe

    finder = FaceFinder(max_faces=max_faces)

    def cut(photo: Image.Image) -> tuple[list[Image.Image], int]:
        found = finder.find(photo)
        large = [geometry for geometry in found if geometry.side >= min_side]
        pixels = np.asarray(photo)
        return [Image.fromarray(align(pixels, geometry, size)) for geometry in large], len(found) - len(large)

    return cut


def resizer(size: int, min_side: int) -> Cut:
    """The same for photos that are FFHQ-aligned squares already."""

    def cut(photo: Image.Image) -> tuple[list[Image.Image], int]:
        if photo.width != photo.height:
            raise PhotoError(f"It is {photo.width} x {photo.height}, so not an aligned square.")
        if photo.width < min_side:
            return [], 1
        return [photo if photo.width == size else photo.resize((size, size), Image.Resampling.LANCZOS)], 0

    return cut


def answer(request: dict[str, str], cut: Cut) -> dict:
    """Serve one request; see the top of this file."""
    path, stem = Path(request["photo"]), Path(request["stem"])
    try:
        squares, small = cut(load_photo(path))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except (PhotoError, OSError) as error:
        return {"error": str(error)}
    faces = [stem.with_name(stem.name + (f"_face{k}" if k > 1 else "") + ".webp") for k in range(1, len(squares) + 1)]
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        for face, square in zip(faces, squares, strict=True):
            with written_whole(face) as aside:
                square.save(aside, "WEBP", quality=WEBP_QUALITY)
    except OSError as error:
        return {"fatal": f"{stem.parent}: cannot write ({error.strerror or error})"}
    return {"faces": [str(face) for face in faces], "small": small, "sha256": sha256}


@contextmanager
def aligning(given: argparse.Namespace) -> Iterator[Callable[[dict], dict]]:
    """`answer`, with squares as the command line wants them."""
    small = (given.size, given.min_side)
    yield partial(answer, cut=resizer(*small) if given.aligned else cutter(*small, given.max_faces))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, required=True, help="side of the squares in pixels")
    parser.add_argument("--min-side", type=int, default=0, help="leave out faces whose square is smaller in the photo")
    parser.add_argument("--max-faces", type=int, default=8, help="at most so many of a photo, the largest")
    parser.add_argument("--aligned", action="store_true", help="the photos are FFHQ-aligned squares: only resize them")
    serve(aligning(parser.parse_args()))


if __name__ == "__main__":
    main()
