"""Held-out faces of a data set as the app writes them, hair and all, for `train.evaluate --compare app=FOLDER`.

python -m benchmarks.app_edits --data FFHQ.zip [--faces 100] [--checkpoint FOLDER] --out runs/app

It stands here because it finds each face by MediaPipe, which training does without.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from agetransformer import AgeEditor
from agetransformer.faces import Face
from train.evaluate import Evaluation, choose_held_out, list_faces

_OFF_CENTRE = 0.2  # of the side: a face farther from the middle is not the one that the square was cut for


def find_own_face(editor: AgeEditor, square: Image.Image) -> Face:
    """The face of an FFHQ-aligned square; where none is found in its middle, all of the square."""
    middle, most = np.array(square.size) / 2, _OFF_CENTRE * square.width
    for face in editor.find_faces(square):
        if np.abs(face.position.quad.mean(axis=0) - middle).max() < most:
            return face
    return editor.face_from_aligned(square)


def write_edits(editor: AgeEditor, square: Image.Image, name: str, ages: Sequence[int], out: Path) -> bool:
    """`out`/<face>_age_<age>.png for each age, of the square's size; whether the face was found."""
    face = find_own_face(editor, square)
    for edited in editor.decode(editor.encode(face), ages):
        editor.paste(square, edited).save(out / f"{Path(name).stem}_age_{round(edited.age)}.png")
    return face.geometry is not None


def main() -> None:
    """Command line."""
    default = Evaluation
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--data", type=Path, nargs="+", required=True, help="archives of FFHQ-aligned faces, as for train.evaluate")
    add("--faces", type=int, default=default.count, help="of the held-out ones, the first (default: %(default)s)")
    add("--ages", type=int, nargs="+", default=default.ages, help="in years (default: %(default)s)")
    add("--size", type=int, default=default.size, help="side in pixels (default: %(default)s)")
    add("--checkpoint", help="another generator than the embedded one: a folder, or owner/repo")
    add("--out", type=Path, required=True, help="folder of the pictures")
    given = parser.parse_args()
    try:
        tested = choose_held_out(list_faces(given.data), given.faces)
        given.out.mkdir(parents=True, exist_ok=True)
        with closing(AgeEditor.from_pretrained(given.checkpoint)) as editor:
            found = [
                write_edits(editor, Image.fromarray(face.read(given.size)), face.name, given.ages, given.out)
                for face in tqdm(tested, desc="faces")
            ]
    except (OSError, ValueError) as error:
        sys.exit(f"benchmarks.app_edits: {error}")
    print(f"{len(found)} faces at {len(given.ages)} ages in {given.out}; not found in its square: {found.count(False)}")


if __name__ == "__main__":
    main()
