"""Reads faces for another process, which then need not load MediaPipe itself.

python -m agetransformer.face_worker < requests > answers

As in agetransformer/json_lines.py, a picture a line:
Request:  {"side": S, "pixels": base64 of S * S * 3 bytes, RGB}
Answer:   of the largest face {"blendshapes": {name: 0..1}, "oval": [[x, y], ...], "mouth": [[x, y], ...],
          "eyes": [[[x, y], ...], [[x, y], ...]]}, the outlines of the face, of the inside of the lips and of both eyes
          between their lids, as fractions of S; {"blendshapes": null} where there is no face
"""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from agetransformer.face_outline import EYES, MOUTH, OVAL
from agetransformer.json_lines import serve


@contextmanager
def reading() -> Iterator[Callable[[dict], dict]]:
    """The function that answers a request; see the top of this file."""
    from agetransformer.alignment import FaceFinder  # not at the top: its absence is an answer

    with FaceFinder(max_faces=1) as finder:

        def answer(request: dict) -> dict:
            side = request["side"]
            pixels = np.frombuffer(base64.b64decode(request["pixels"]), np.uint8).reshape(side, side, 3)
            faces = finder.find(pixels)
            if not faces:
                return {"blendshapes": None}
            points = (faces[0].landmarks / side).round(4)
            oval, mouth, *eyes = (points[list(line)].tolist() for line in (OVAL, MOUTH, *EYES))
            return {"blendshapes": faces[0].blendshapes, "oval": oval, "mouth": mouth, "eyes": eyes}

        yield answer


def main() -> None:
    """Command line: no options."""
    serve(reading())


if __name__ == "__main__":
    main()
