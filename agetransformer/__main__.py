"""Command line: `python -m agetransformer edit PHOTO... --out DIR`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from agetransformer.editor import AgeEditor, Face

BAD_INPUT = 2  # exit code, the same as argparse's for a bad argument
_NO_FACE = (
    "No face was found. Please use a photo in which a face is larger, sharper or less turned away"
    " (or --aligned, if it is an FFHQ-aligned square)."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser("python -m agetransformer", description="High-resolution face age editing.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    edit = commands.add_parser(
        "edit",
        help="show the people in photos at other ages",
        description="Writes DIR/<photo>_age_<age>.png for each age, and DIR/<photo>_grid.png with all of them.",
    )
    edit.add_argument("photos", metavar="PHOTO", nargs="+", type=Path, help="JPEG, PNG, WebP, AVIF, HEIC, TIFF or GIF")
    edit.add_argument(
        "--ages", type=_age, nargs="+", default=[25, 35, 45, 55, 65], metavar="AGE", help="target ages within 20..69"
    )
    edit.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    edit.add_argument("--aligned", action="store_true", help="the photos are FFHQ-aligned squares; so are the results")
    edit.add_argument("--faces", choices=["largest", "all"], default="largest", help="which faces of a photo to edit")
    edit.add_argument("--checkpoint", metavar="PATH_OR_REPO", help="a checkpoint folder, or owner/repo on the Hub")
    edit.add_argument("--revision", help="commit, branch or tag of a checkpoint on the Hub")
    edit.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    edit.set_defaults(run=_edit)
    options = parser.parse_args(arguments)
    return options.run(options)


def _age(text: str) -> float:
    from agetransformer.editor import check_age

    try:
        years = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not an age in years") from error
    try:
        return check_age(years)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _edit(options: argparse.Namespace) -> int:
    from agetransformer.checkpoint import CheckpointError
    from agetransformer.editor import AgeEditor

    ages = list(dict.fromkeys(options.ages))
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        editor = AgeEditor.from_pretrained(options.checkpoint, revision=options.revision, device=options.device)
    except OSError as error:
        return _complain(str(options.out), f"The folder cannot be made ({error.strerror}).")
    except CheckpointError as error:
        return _complain("checkpoint", str(error))
    except ValueError as error:
        return _complain("--device", str(error))
    code = 0
    stems = _stems(options.photos, options.out, ages)
    for photo, stem in zip(options.photos, stems, strict=True):
        if stem != photo.stem:
            print(f"{photo}: its results are named {stem}_..., because {photo.stem}_... is taken", file=sys.stderr)
        try:
            _edit_photo(editor, photo, options.out / stem, ages, options.aligned, options.faces == "all")
        except (ValueError, OSError, RuntimeError, MemoryError) as error:  # the other photos still get their turn
            code = _complain(str(photo), str(error) or type(error).__name__)
    return code


def _complain(subject: str, sentence: str) -> int:
    print(f"{subject}: {sentence}", file=sys.stderr)
    return BAD_INPUT


def _stems(photos: Sequence[Path], out: Path, ages: Sequence[float]) -> list[str]:
    """A name for each photo's results: its own stem, unless that would write over another's results or an input."""
    inputs = {photo.resolve() for photo in photos}
    stems: list[str] = []
    for photo in photos:
        stem, count = photo.stem, 1
        while stem.casefold() in (taken.casefold() for taken in stems) or any(
            path.resolve() in inputs for path in _outputs(out / stem, ages)
        ):
            count += 1
            stem = f"{photo.stem}_{count}"
        stems.append(stem)
    return stems


def _outputs(prefix: Path, ages: Sequence[float]) -> list[Path]:
    """Where the results go: one file for each age, then the grid."""
    return [prefix.with_name(f"{prefix.name}_{what}.png") for what in (*(f"age_{age:g}" for age in ages), "grid")]


def _edit_photo(
    editor: "AgeEditor", path: Path, prefix: Path, ages: Sequence[float], aligned: bool, every_face: bool
) -> None:
    """Edit one photo and write `prefix`_age_<age>.png and `prefix`_grid.png.

    Raises:
        ValueError: no face, or not a photo (PhotoError); the message is a sentence.
    """
    from agetransformer.grid import age_grid, stack_grids
    from agetransformer.imageio import save_png

    photo, faces = _read(editor, path, aligned)
    faces = faces if every_face else faces[:1]
    *age_paths, grid_path = _outputs(prefix, ages)
    encodings = [editor.encode(face) for face in faces]
    rows: list[list[Image.Image]] = [[] for _ in faces]
    for age, age_path in zip(ages, age_paths, strict=True):
        result = photo
        for face, encoding, row in zip(faces, encodings, rows, strict=True):
            (edited,) = editor.decode(encoding, [age])
            result = editor.paste(result, face, edited)
            row.append(editor.face_only(face, edited))
        save_png(result, age_path, age=age, model=editor.name)
        print(age_path)
    grids = [age_grid(face.image, face.age, row, ages) for face, row in zip(faces, rows, strict=True)]
    save_png(stack_grids(grids), grid_path, age=ages, model=editor.name)
    print(grid_path)


def _read(editor: "AgeEditor", path: Path, aligned: bool) -> tuple[Image.Image, "list[Face]"]:
    from agetransformer.imageio import load_photo

    photo = load_photo(path)
    faces = [editor.face_from_aligned(photo)] if aligned else editor.find_faces(photo)
    if not faces:
        raise ValueError(_NO_FACE)
    return photo, faces


if __name__ == "__main__":
    sys.exit(main())
