"""Reads the expressions of faces for another process, which then need not load MediaPipe itself.

python -m agetransformer.expression_worker < requests > answers

One line of JSON a picture, in and out. Before the first request it answers {"ready": true}, or {"fatal": sentence}.
Request:  {"side": S, "pixels": base64 of S * S * 3 bytes, RGB}
Answer:   {"blendshapes": {name: 0..1}} of the largest face, {"blendshapes": null} where there is none
The process ends with its standard input.
"""

import base64
import json
import os
import sys

import numpy as np
from PIL import Image


def main() -> None:
    """Command line: no options."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not get between the answers
    try:
        from agetransformer.alignment import FaceFinder  # not at the top: its absence is an answer

        finder = FaceFinder(max_faces=1)
    except (ValueError, RuntimeError, ImportError) as error:  # a CheckpointError is a ValueError
        print(json.dumps({"fatal": str(error)}), file=answers)
        return
    with finder:
        print(json.dumps({"ready": True}), file=answers)
        for line in sys.stdin:
            request = json.loads(line)
            side = request["side"]
            pixels = np.frombuffer(base64.b64decode(request["pixels"]), np.uint8).reshape(side, side, 3)
            faces = finder.find(Image.fromarray(pixels))
            print(json.dumps({"blendshapes": faces[0].blendshapes if faces else None}), file=answers)


if __name__ == "__main__":
    main()
