"""Several generators on the same held-out faces, at 1:1, for the eye: what no number of `train.evaluate` says.

python -m train.side_by_side checkpoints/generator runs/mine/generator --data faces.zip --out sheet.png
    [--ages 25 65] [--faces 01005.webp 02112.webp] [--count 6] [--size 512]

One row a face: the photo, then each age by each generator in turn, its change alone, without the app's hair. Without
--faces, held-out faces are taken evenly from youngest to oldest.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from agetransformer.checkpoint import load_checkpoint
from agetransformer.networks import Generator, GeneratorConfig
from train.data import is_held_out
from train.evaluate import LabelledFile, generator_editor, list_faces
from train.options import failing_in_a_sentence
from train.sheet import save_sheet


def choose_faces(faces: Sequence[LabelledFile], names: Sequence[str] = (), count: int = 6) -> list[LabelledFile]:
    """The faces of these names; without names `count` held-out ones, from youngest to oldest at equal steps.

    Raises:
        ValueError: a name is not there, or no face is held out.
    """
    if names:
        known = {face.name: face for face in faces}
        if missing := [name for name in names if name not in known]:
            raise ValueError(f"--faces: no {', '.join(missing)} in the data; a name is one of labels.csv's column file")
        return [known[name] for name in names]
    unseen = sorted((face for face in faces if is_held_out(face.name)), key=lambda face: (face.age, face.name))
    if not unseen:
        raise ValueError("--data: no face of it is held out; name some with --faces")
    count = min(count, len(unseen))
    return [unseen[(2 * index + 1) * len(unseen) // (2 * count)] for index in range(count)]


@torch.no_grad()
def side_by_side(
    generators: Sequence[Path], faces: Sequence[LabelledFile], ages: Sequence[int], size: int, out: Path
) -> None:
    """Write the sheet of `faces` at `size` px.

    Raises:
        CheckpointError: one of the folders holds no generator.
        ValueError: a face cannot be read.
    """
    cpu = torch.device("cpu")
    editors = [
        generator_editor(load_checkpoint(Generator, GeneratorConfig, folder), ages, cpu) for folder in generators
    ]
    rows = []
    for face in faces:
        image = face.read(size)
        edits = [editor(image, face.name) for editor in editors]
        rows.append([image, *(by[index].image for index in range(len(ages)) for by in edits)])
    save_sheet(out, rows, ["input", *(f"{folder} at {age}" for age in ages for folder in generators)], size)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generators", type=Path, nargs="+", help="folders of generators")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="zips of FFHQ-aligned faces + labels.csv")
    parser.add_argument("--out", type=Path, required=True, help="PNG to write")
    parser.add_argument("--ages", type=int, nargs="+", default=[25, 65], help="target ages (default: 25 65)")
    parser.add_argument("--faces", nargs="+", default=[], help="names in labels.csv, instead of a choice")
    parser.add_argument("--count", type=int, default=6, help="faces without --faces (default: %(default)s)")
    parser.add_argument("--size", type=int, default=512, help="side of the pictures (default: %(default)s)")
    given = parser.parse_args()
    with failing_in_a_sentence("train.side_by_side"):
        faces = choose_faces(list_faces(given.data), given.faces, given.count)
        side_by_side(given.generators, faces, given.ages, given.size, given.out)
    print(f"wrote {given.out}: {', '.join(face.name for face in faces)}")


if __name__ == "__main__":
    main()
