"""Time of a whole request: from the bytes of a 12-megapixel JPEG to five full-size PNGs on disk.

python -m benchmarks.request --out benchmarks/results
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from agetransformer import alignment, faces, imageio
from agetransformer.checkpoint import load_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.editor import AgeEditor
from agetransformer.engine import Engine
from agetransformer.faces import EditedFace
from agetransformer.hair_segmenter import HairSegmenter, HairSegmenterConfig
from agetransformer.hub import CLASSIFIER_FOLDER, HAIR_SEGMENTER_FOLDER
from benchmarks.machine import describe_machine, warn_if_busy
from benchmarks.photo import make_photo
from benchmarks.timing import Stopwatch, Timing

AGES = (25.0, 35.0, 45.0, 55.0, 65.0)
GOAL = 1.5  # seconds, on two CPUs
STAGES = {
    "decode the JPEG": (imageio, "load_photo"),
    "find faces": (alignment.FaceFinder, "_propose"),
    "landmarks": (alignment.FaceFinder, "_examine"),
    "align": (alignment, "align"),
    "cut the surroundings": (alignment, "glance"),
    "estimate the age": (AgeEditor, "estimate_age"),
    "encode": (Engine, "encode"),
    "decode five ages": (Engine, "decode"),
    "find the hair": (AgeEditor, "_find_hair"),
    "check the ages": (AgeEditor, "_calibrate"),
    "change its colour": (AgeEditor, "decode"),
    "enlarge the change": (faces, "_resize"),
    "composite": (AgeEditor, "paste_pixels"),
    "compress PNG": (imageio, "compress_pixels"),
    "write": (imageio, "save_png"),
}


@dataclass(frozen=True)
class RequestResult:
    path: str
    side: int  # of the square that the network works on
    total: Timing
    stages: dict[str, float]  # median seconds
    png_mb: float  # mean of the five files


def ours(age_editor: AgeEditor, data: bytes, folder: Path) -> None:
    """As `python -m agetransformer edit` does it."""
    pixels = np.asarray(imageio.load_photo(data))
    (face,) = age_editor.find_faces(pixels, most=1)
    encoding = age_editor.encode(face)

    def results() -> Iterator[tuple[np.ndarray, Path, float]]:
        for age in AGES:
            (edited,) = age_editor.decode(encoding, [age])
            yield age_editor.paste_pixels(pixels, edited), folder / f"{age:g}.png", age

    for _ in imageio.save_pngs(results(), "benchmark"):
        pass


@torch.inference_mode()
def plain(age_editor: AgeEditor, data: bytes, folder: Path) -> None:
    """As one would write it first: the whole generator for each age, arrays of the whole photo, Pillow's PNG."""
    photo = imageio.load_photo(data)
    face = age_editor.find_faces(photo)[0]
    side = age_editor.resolution
    for age in AGES:
        small = np.array(face.image.resize((side, side), Image.Resampling.LANCZOS), np.float32)
        image = torch.from_numpy(small).permute(2, 0, 1)[None] / 127.5 - 1
        change = (age_editor.generator(image, torch.tensor([age])) - image)[0].permute(1, 2, 0).numpy() * 127.5
        pixels = age_editor.paste_pixels(np.asarray(photo), EditedFace(face, age, change))
        Image.fromarray(pixels).save(folder / f"{age:g}.png")


def measure(
    name: str, request: Callable[[AgeEditor, bytes, Path], None], age_editor: AgeEditor, data: bytes, rounds: int
) -> RequestResult:
    """One request that is not counted, unless there is but one, then `rounds` that are."""
    totals: list[float] = []
    stages: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(0 if rounds > 1 else 1, rounds + 1):
            watch = Stopwatch()
            with watch.watching(STAGES):
                start = time.perf_counter()
                request(age_editor, data, Path(folder))
                total = time.perf_counter() - start
            if index > 0:
                totals.append(total)
                stages.append(watch.seconds | {"waiting, the rest": total - watch.one_after_the_other()})
        sizes = [path.stat().st_size for path in Path(folder).iterdir()]
    medians = {stage: float(np.median([each[stage] for each in stages])) for stage in stages[0]}
    return RequestResult(name, age_editor.resolution, Timing.of(totals), medians, float(np.mean(sizes)) / 1e6)


def describe(result: RequestResult) -> str:
    total = result.total
    lines = [
        f"{result.path}, network at {result.side} px: {total.median * 1e3:.0f} ms"
        f" [{total.quartile1 * 1e3:.0f}, {total.quartile3 * 1e3:.0f}], PNGs of {result.png_mb:.1f} MB"
    ]
    lines += [f"{seconds * 1e3:8.1f} ms  {stage}" for stage, seconds in result.stages.items()]
    return "\n".join(lines)


def with_side(age_editor: AgeEditor, side: int) -> AgeEditor:
    """The same weights at another resolution."""
    generator = age_editor.generator
    generator.config = replace(generator.config, resolution=side)
    classifier = load_checkpoint(AgeClassifier, ClassifierConfig, CLASSIFIER_FOLDER)
    segmenter = load_checkpoint(HairSegmenter, HairSegmenterConfig, HAIR_SEGMENTER_FOLDER)
    return AgeEditor(generator, classifier, segmenter, name=age_editor.name, device="cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", help="of the network's square; default: the checkpoint's, 512")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, required=True, help="folder for request.json")
    arguments = parser.parse_args()
    load = warn_if_busy()
    data = make_photo()
    print(f"A JPEG of {len(data) / 1e6:.1f} MB")
    age_editor = AgeEditor.from_pretrained(device="cpu")
    results = []
    for side in arguments.sides or [age_editor.resolution, 512]:
        sized = with_side(age_editor, side)
        results.append(measure("ours", ours, sized, data, arguments.rounds))
        print(describe(results[-1]), flush=True)
        results.append(measure("plain", plain, sized, data, 1))  # seconds: what the first call adds is little
        print(describe(results[-1]), flush=True)
    report = describe_machine() | {
        "load_before": load,
        "jpeg_mb": len(data) / 1e6,
        "rounds": arguments.rounds,
        "unit": "seconds",
        "goal": GOAL,
        "results": [asdict(result) for result in results],
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "request.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
