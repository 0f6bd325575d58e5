"""How far the compiled generators are from plain PyTorch in float32, on held-out faces of a data set.

python -m benchmarks.precision --data FFHQ.zip [--faces 12] [--size 512] --out benchmarks/results

precision.json has, for each path of `benchmarks.inference` that is not plain PyTorch, the differences in levels of 255.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agetransformer.checkpoint import load_checkpoint
from agetransformer.files import written_whole
from agetransformer.networks import Generator, GeneratorConfig
from benchmarks.machine import describe_machine
from benchmarks.paths import build_path, encode_once_path, path_names
from train.data import held_out, load_faces, to_unit

AGES = (20.0, 25.0, 45.0, 65.0, 69.0)


@dataclass(frozen=True)
class Errors:
    """Absolute differences from the reference over all pixels, channels, ages and faces, in levels of 255."""

    mean: float
    worst_mean: float  # of the face with the largest mean
    largest: float
    median_largest: float  # median over the faces of each one's largest

    @staticmethod
    def of(differences: Sequence[Tensor]) -> "Errors":
        """From the absolute differences of each face, any shape, in [-1, 1] units."""
        means = [difference.mean().item() * 127.5 for difference in differences]
        largest = [difference.max().item() * 127.5 for difference in differences]
        return Errors(float(np.mean(means)), max(means), max(largest), float(np.median(largest)))


@torch.no_grad()
def measure_errors(
    generator: Generator,
    checkpoint: Path,
    images: Tensor,  # [N, 3, R, R] in [-1, 1], at the generator's resolution
    names: Sequence[str],  # of benchmarks.paths
    ages: Sequence[float] = AGES,
) -> dict[str, Errors]:
    """The errors of each path, against the plain generator in float32."""
    targets = torch.tensor(ages)
    plain = encode_once_path(generator)
    references = [plain.decode(plain.encode(image[None]), targets) for image in images]
    errors = {}
    for name in names:
        path = build_path(name, generator.config.resolution, checkpoint, "cpu")
        edits = (path.decode(path.encode(image[None]), targets) for image in images)
        errors[name] = Errors.of([(edit - image).abs() for edit, image in zip(edits, references, strict=True)])
    return errors


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, help="archives of FFHQ-aligned faces")
    parser.add_argument("--checkpoint", type=Path, default=Path("checkpoints/generator"))
    parser.add_argument("--faces", type=int, default=12, help="held-out faces (default: %(default)s)")
    parser.add_argument("--size", type=int, help="side of the squares in pixels (default: the checkpoint's)")
    parser.add_argument("--out", type=Path, required=True, help="folder for precision.json")
    parser.add_argument("--cache", default=".cache", help="folder for decoded data (default: %(default)s)")
    given = parser.parse_args()
    try:
        generator = load_checkpoint(Generator, GeneratorConfig, given.checkpoint).eval()
        size = given.size or generator.config.resolution
        faces = load_faces(tuple(given.data), size, chips=False, cache=given.cache)
    except (ValueError, OSError) as error:
        print(f"benchmarks.precision: {error}", file=sys.stderr)
        return 2
    generator.config = replace(generator.config, resolution=size)
    images = to_unit(faces.select(held_out(faces.names)).images[: given.faces])
    if len(images) == 0:
        print(f"benchmarks.precision: no held-out face in {', '.join(given.data)}", file=sys.stderr)
        return 2
    names = [name for name in path_names("cpu") if name.startswith("ours")]
    errors = measure_errors(generator, given.checkpoint, images, names)
    for name, error in errors.items():
        print(f"{name:20} mean {error.mean:.3f} (worst face {error.worst_mean:.3f}), largest {error.largest:.2f}")
    report = {
        "machine": describe_machine(),
        "faces": len(images),
        "size": size,
        "ages": AGES,
        "errors": {name: asdict(error) for name, error in errors.items()},
    }
    given.out.mkdir(parents=True, exist_ok=True)
    with written_whole(given.out / "precision.json") as aside:
        aside.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
