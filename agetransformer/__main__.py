"""Command line: `python -m agetransformer edit PHOTO... --out DIR`, `sweep` and `video`."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from agetransformer.quiet import native_log_aside

if TYPE_CHECKING:
    import numpy as np

    from agetransformer.editor import AgeEditor
    from agetransformer.faces import Face

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
    _add_photos(edit)
    edit.add_argument(
        "--ages", type=_age, nargs="+", default=[25, 35, 45, 55, 65], metavar="AGE", help="target ages within 20..69"
    )
    edit.add_argument("--aligned", action="store_true", help="the photos are FFHQ-aligned squares; so are the results")
    _add_hair(edit)
    edit.add_argument(
        "--faces",
        choices=["largest", "all"],
        default="largest",
        help="which faces of a photo to edit; all are 32 at most",
    )
    _add_common(edit)
    edit.set_defaults(run=_edit)
    sweep = commands.add_parser(
        "sweep",
        help="animate the largest face of photos through the ages and back",
        description="Writes DIR/<photo>_sweep.mp4 (or .gif, .webp): a loop from 20 to 69 and back.",
    )
    _add_photos(sweep)
    sweep.add_argument("--format", choices=["mp4", "gif", "webp"], default="mp4")
    sweep.add_argument("--aligned", action="store_true", help="the photos are FFHQ-aligned squares; so are the results")
    _add_hair(sweep)
    _add_common(sweep)
    sweep.set_defaults(run=_sweep)
    video = commands.add_parser(
        "video",
        help="show the largest face of a video at another age",
        description="Writes an MP4 with the sound and the timing of the input, and says how much the edit flickers.",
    )
    video.add_argument("video", metavar="VIDEO", type=Path, help="MP4, MOV, WebM, MKV, AVI or GIF")
    video.add_argument("--age", type=_age, required=True, help="target age within 20..69")
    video.add_argument("--out", type=Path, metavar="OUT.mp4", help="default: <video>_age_<age>.mp4 beside the input")
    video.add_argument("--longest", type=float, default=300, metavar="SECONDS", help="refuse longer videos (300)")
    _add_hair(video)
    _add_common(video)
    video.set_defaults(run=_video)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except _Refusal as refusal:
        return _complain(*refusal.args)


class _Refusal(Exception):
    """Nothing can be done at all; what it is about, and a sentence."""


def _add_photos(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "photos", metavar="PHOTO", nargs="+", type=Path, help="JPEG, PNG, WebP, AVIF, HEIC, TIFF or GIF"
    )
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")


def _add_hair(command: argparse.ArgumentParser) -> None:
    command.add_argument("--keep-hair", dest="hair", action="store_false", help="hair and beard keep their colour")


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--mark", action="store_true", help='write a small "AI-edited" into a corner of the results')
    command.add_argument("--checkpoint", metavar="PATH_OR_REPO", help="a checkpoint folder, or owner/repo on the Hub")
    command.add_argument("--revision", help="commit, branch or tag of a checkpoint on the Hub")
    command.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")


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
    ages = list(dict.fromkeys(options.ages))

    def one(editor: "AgeEditor", photo: Path, prefix: Path) -> None:
        _edit_photo(editor, photo, prefix, ages, options.aligned, options.faces == "all", options.mark, options.hair)

    return _each_photo(options, lambda prefix: _outputs(prefix, ages), one)


def _sweep(options: argparse.Namespace) -> int:
    def output(prefix: Path) -> Path:
        return prefix.with_name(f"{prefix.name}_sweep.{options.format}")

    def one(editor: "AgeEditor", photo: Path, prefix: Path) -> None:
        _sweep_photo(editor, photo, output(prefix), options.aligned, options.mark, options.hair)

    return _each_photo(options, lambda prefix: [output(prefix)], one)


def _video(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from agetransformer.footage import VideoError, require_file
    from agetransformer.video import VideoConfig, edit_video

    try:
        require_file(options.video)  # first, because a folder may have no name to make one of
    except VideoError as error:
        return _complain(str(options.video), _sentence(error))
    out = options.out or options.video.with_name(f"{options.video.stem}_age_{options.age:g}.mp4")
    editor = _editor(options, out.parent)
    config = VideoConfig(longest=options.longest, hair=options.hair, mark=options.mark)
    try:
        with tqdm(total=1, bar_format="{percentage:3.0f}%|{bar}| {elapsed}, {remaining} left") as bar:

            def advance(done: float) -> None:
                bar.update(done - bar.n)

            report = edit_video(editor, options.video, out, options.age, config, advance)
    except _failures() as error:
        return _complain(str(options.video), _sentence(error))
    print(out)
    print(f"{report.edited} of {report.frames} frames show the face.")
    print(
        f"Flicker: from frame to frame the edit changes by {report.flicker:.1f} of 255 within the face,"
        f" the input itself by {report.motion:.1f}."
    )
    return 0


def _editor(options: argparse.Namespace, out: Path) -> "AgeEditor":
    """Make the folder for the results and load the checkpoint, or raise _Refusal."""
    from agetransformer.checkpoint import CheckpointError
    from agetransformer.editor import AgeEditor

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _Refusal(str(out), f"The folder cannot be made ({error.strerror}).") from error
    try:
        return AgeEditor.from_pretrained(options.checkpoint, revision=options.revision, device=options.device)
    except (OSError, CheckpointError) as error:
        raise _Refusal("checkpoint", str(error)) from error
    except ValueError as error:
        raise _Refusal("--device", str(error)) from error


def _each_photo(
    options: argparse.Namespace,
    outputs: Callable[[Path], Sequence[Path]],
    one: Callable[["AgeEditor", Path, Path], None],
) -> int:
    """Call `one` with the editor, a photo and the prefix of its results, for every photo; returns the exit code."""
    editor = _editor(options, options.out)
    code = 0
    stems = _stems(options.photos, options.out, outputs)
    for photo, stem in zip(options.photos, stems, strict=True):
        if stem != photo.stem and photo.stem:
            print(f"{photo}: its results are named {stem}_..., because {photo.stem}_... is taken", file=sys.stderr)
        try:
            one(editor, photo, options.out / stem)
        except _failures() as error:  # the other photos still get their turn
            code = _complain(str(photo), _sentence(error))
    return code


def _failures() -> tuple[type[Exception], ...]:
    """What ends one photo or video and not the program."""
    import cv2

    return ValueError, OSError, RuntimeError, MemoryError, cv2.error


def _sentence(error: Exception) -> str:
    """What went wrong, without the name of a file that was to be renamed."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"The result cannot be written to {Path(error.filename).parent} ({error.strerror})."
    return str(error) or type(error).__name__


def _complain(subject: str, sentence: str) -> int:
    print(f"{subject}: {sentence}", file=sys.stderr)
    return BAD_INPUT


def _stems(photos: Sequence[Path], out: Path, outputs: Callable[[Path], Sequence[Path]]) -> list[str]:
    """A name for each photo's results: its own stem, unless that would write over another's results or an input."""
    inputs = {photo.resolve() for photo in photos}
    stems: list[str] = []
    for photo in photos:
        own = photo.stem or "photo"  # a folder may have none
        stem, count = own, 1
        while stem.casefold() in (taken.casefold() for taken in stems) or any(
            path.resolve() in inputs for path in outputs(out / stem)
        ):
            count += 1
            stem = f"{own}_{count}"
        stems.append(stem)
    return stems


def _outputs(prefix: Path, ages: Sequence[float]) -> list[Path]:
    """Where the results go: one file for each age, then the grid."""
    return [prefix.with_name(f"{prefix.name}_{what}.png") for what in (*(f"age_{age:g}" for age in ages), "grid")]


def _edit_photo(
    editor: "AgeEditor",
    path: Path,
    prefix: Path,
    ages: Sequence[float],
    aligned: bool,
    every_face: bool,
    marked: bool,
    hair: bool,
) -> None:
    """Edit one photo and write `prefix`_age_<age>.png and `prefix`_grid.png.

    Raises:
        ValueError: no face, or not a photo (PhotoError); the message is a sentence.
    """
    from agetransformer.editor import MOST_FACES
    from agetransformer.grid import age_grid, cell_side, stack_grids
    from agetransformer.imageio import save_png, save_pngs
    from agetransformer.mark import add_mark

    pixels, faces = _read(editor, path, aligned, MOST_FACES if every_face else 1)
    *age_paths, grid_path = _outputs(prefix, ages)
    encodings = [editor.encode(face, hair) for face in faces]
    rows: list[list[Image.Image]] = [[] for _ in faces]

    def results() -> "Iterator[tuple[Image.Image | np.ndarray, Path, float]]":
        for age, age_path in zip(ages, age_paths, strict=True):
            result = pixels
            for encoding, row in zip(encodings, rows, strict=True):
                (edited,) = editor.decode(encoding, [age], hair=hair)
                result = editor.paste_pixels(result, edited)
                row.append(edited.masked)
            yield add_mark(result) if marked else result, age_path, age

    for age_path in save_pngs(results(), editor.name):
        print(age_path)
    side = cell_side(max(face.image.width for face in faces))
    grids = [age_grid(face.image, face.age, row, ages, side) for face, row in zip(faces, rows, strict=True)]
    sheet = stack_grids(grids)
    save_png(add_mark(sheet) if marked else sheet, grid_path, age=ages, model=editor.name)
    print(grid_path)


def _sweep_photo(editor: "AgeEditor", path: Path, output: Path, aligned: bool, marked: bool, hair: bool) -> None:
    """Animate the largest face of one photo.

    Raises:
        ValueError: no face, or not a photo (PhotoError); the message is a sentence.
    """
    from agetransformer.animation import SweepConfig, save_sweep, sweep_frames
    from agetransformer.mark import mark_frames

    pixels, faces = _read(editor, path, aligned, most=1)
    config = SweepConfig(hair=hair)
    frames = sweep_frames(editor, Image.fromarray(pixels), editor.encode(faces[0], hair), config)
    save_sweep(mark_frames(frames) if marked else frames, output, config, editor.name)
    print(output)


def _read(editor: "AgeEditor", path: Path, aligned: bool, most: int) -> tuple["np.ndarray", "list[Face]"]:
    """A photo's pixels, [H, W, 3] uint8, and so many of its faces, largest first."""
    import numpy as np

    from agetransformer.imageio import load_photo

    photo = load_photo(path)
    pixels = np.asarray(photo)
    faces = [editor.face_from_aligned(photo)] if aligned else editor.find_faces(pixels, most)
    if not faces:
        raise ValueError(_NO_FACE)
    return pixels, faces


def run() -> int:
    """`main` in a terminal."""
    with native_log_aside():
        return main()


if __name__ == "__main__":
    sys.exit(run())
