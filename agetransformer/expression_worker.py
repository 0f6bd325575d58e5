"""Reads the expressions of faces for another process, which then need not load MediaPipe itself.

python -m agetransformer.expression_worker < requests > answers

As in agetransformer/json_lines.py, a picture a line:
Request:  {"side": S, "pixels": base64 of S * S * 3 bytes, RGB}
Answer:   {"blendshapes": {name: 0..1}} of the largest face, {"blendshapes": null} where there is none
"""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from agetransformer.json_lines import serve


@contextmanager
def reading() -> Iterator[Callable[[dict], dict]]:
    """The function that answers a request; see the top of this file."""
    from agetransformer.alignment import FaceFinder  # not at the top: its absence is an answer

    with FaceFinder(max_faces=1) as finder:

        def answer(request: dict) -> dict:
            side = request["side"]
            pixels = np.frombuffer(base64.b64decode(request["pixels"]), np.uint8).reshape(side, side, 3)
            faces = finder.find(Image.fromarray(pixels))
            return {"blendshapes": faces[0].blendshapes if faces else None}

        yield answer


def main() -> None:
    """Command line: no options."""
    serve(reading())


if __name__ == "__main__":
    main()
