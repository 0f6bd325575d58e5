"""Reads faces for another process, which then need not load MediaPipe itself.

python -m agetransformer.face_worker < requests > answers

As in agetransformer/json_lines.py, a picture a line:
Request:  {"side": S, "pixels": base64 of S * S * 3 bytes, RGB, "person": whether to look for people too}
Answer:   of the largest face {"blendshapes": {name: 0..1}, "oval": [[x, y], ...], "mouth": [[x, y], ...]}, the outlines
          of the face and of the inside of the lips as fractions of S; {"blendshapes": null} where there is no face;
          where asked for, "person": base64 of S * S bytes, 255 where a person is
"""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from agetransformer.json_lines import serve

# MediaPipe's landmarks along two closed lines: FACE_LANDMARKS_FACE_OVAL, and the inner ones of FACE_LANDMARKS_LIPS.
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
MOUTH = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)


@contextmanager
def reading() -> Iterator[Callable[[dict], dict]]:
    """The function that answers a request; see the top of this file."""
    from agetransformer.alignment import FaceFinder  # not at the top: its absence is an answer
    from agetransformer.segmentation import PersonSegmenter

    with FaceFinder(max_faces=1) as finder, PersonSegmenter() as segmenter:

        def answer(request: dict) -> dict:
            side = request["side"]
            pixels = np.frombuffer(base64.b64decode(request["pixels"]), np.uint8).reshape(side, side, 3)
            person = {}
            if request.get("person"):
                mask = (255 * segmenter.segment(pixels)).round().astype(np.uint8)
                person = {"person": base64.b64encode(mask).decode()}
            faces = finder.find(Image.fromarray(pixels))
            if not faces:
                return {"blendshapes": None, **person}
            points = (faces[0].landmarks / side).round(4)
            oval, mouth = (points[list(line)].tolist() for line in (OVAL, MOUTH))
            return {"blendshapes": faces[0].blendshapes, "oval": oval, "mouth": mouth, **person}

        yield answer


def main() -> None:
    """Command line: no options."""
    serve(reading())


if __name__ == "__main__":
    main()
