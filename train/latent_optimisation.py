"""Age faces by optimising the latent code of a StyleGAN-family generator: the comparison of the paper's Figure 8.

python -m train.latent_optimisation --generator SOURCE --data FFHQ.zip --out runs/latents

A face is projected first: the code whose image is closest to the photo. From there the code moves until V reads the
target age, while the image has to stay close to the projected one. Writes sheet.png (input, projection, the optimised
ages, and our generator's), metrics.json, and outputs/<face>_age_<age>.png, a folder for train.evaluate --compare.

SOURCE takes codes [N, ...] and gives images [N, 3, S, S] in [-1, 1], FFHQ-aligned and differentiable: a TorchScript
file, OWNER/REPO[@REVISION]:FILE on the Hub, or MODULE:FUNCTION. --code is the shape of a code: 512 for z; 18 512 for
the w+ of a StyleGAN2 at 1024, whose synthesis network alone is then the generator.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from agetransformer.checkpoint import load_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig, chip, expected_age
from agetransformer.networks import Generator, GeneratorConfig
from train.data import to_unit
from train.evaluate import choose_held_out, generator_editor, list_faces
from train.feature_discriminator import FrozenFeatures
from train.losses import compute_class_loss
from train.options import failing_in_a_sentence
from train.sheet import save_sheet
from train.synthetic import SourceError, open_network

SHEET_SIZE = 256

Synthesis = Callable[[Tensor], Tensor]  # codes [N, ...] -> images [N, 3, S, S] in [-1, 1]


@dataclass(frozen=True)
class LatentOptimisation:
    """How the code is moved. Adam throughout; weights are those of the terms of the loss."""

    starts: int = 64  # random codes of which the best is projected further; none where the network has a `w_avg`
    project_steps: int = 400
    edit_steps: int = 150
    lr: float = 0.05
    side: int = 256  # images are compared at this side in pixels
    pixels: float = 1.0  # L1 of the pixels
    features: float = 1.0  # squared difference of ImageNet features
    age: float = 0.1  # V's cross-entropy
    label_width: float = 2.0  # of the soft target ages, in years
    code: float = 0.01  # squared distance of the code from the projected one
    seed: int = 0


@dataclass(frozen=True)
class Comparison:
    """What is compared on which faces."""

    generator: str  # SOURCE, see the top of this file
    data: tuple[Path, ...]
    out: Path
    code: tuple[int, ...] = (512,)  # shape of a code
    checkpoint: Path = Path("checkpoints/generator")  # ours
    classifier: Path = Path("checkpoints/classifier")  # V
    count: int = 4  # faces
    ages: tuple[int, ...] = (25, 45, 65)
    device: str = "cpu"


def project(
    synthesis: Synthesis, image: Tensor, shape: Sequence[int], features: FrozenFeatures, config: LatentOptimisation
) -> Tensor:
    """The code [1, *shape] whose image is closest to `image` [1, 3, S, S] in [-1, 1]."""
    target = _comparable(image, features, config)
    code = _start(synthesis, target, shape, features, config).requires_grad_(True)
    optimizer = torch.optim.Adam([code], config.lr)
    best, least = code.detach().clone(), float("inf")
    for step in range(config.project_steps):
        _anneal(optimizer, config.lr, step / config.project_steps)
        loss = _distance(_comparable(synthesis(code), features, config), target, config).sum()
        if loss.item() < least:
            best, least = code.detach().clone(), loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return best


def optimise_ages(
    synthesis: Synthesis,
    code: Tensor,
    ages: Sequence[int],
    classifier: AgeClassifier,
    features: FrozenFeatures,
    config: LatentOptimisation,
) -> Tensor:
    """A projected code [1, *shape] -> codes [A, *shape] that V reads as `ages`, their images close to the projected."""
    targets = torch.tensor(ages, dtype=torch.float32, device=code.device)
    with torch.no_grad():
        projected = [x.expand(len(ages), *x.shape[1:]) for x in _comparable(synthesis(code), features, config)]
    codes = code.repeat(len(ages), *[1] * (code.ndim - 1)).requires_grad_(True)
    optimizer = torch.optim.Adam([codes], config.lr)
    for step in range(config.edit_steps):
        _anneal(optimizer, config.lr, step / config.edit_steps)
        images = _render(synthesis, codes)
        logits, _ = classifier(chip(images, classifier.config.resolution))
        loss = (
            config.age * len(ages) * compute_class_loss(logits, targets, config.label_width)
            + _distance(_comparable(images, features, config), projected, config).sum()
            + config.code * (codes - code).square().flatten(1).mean(dim=1).sum()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return codes.detach()


def _render(synthesis: Synthesis, codes: Tensor) -> Tensor:
    """Codes [N, ...] -> images, one at a time: a traced StyleGAN2 knows only the batch size that it was traced with."""
    return torch.cat([synthesis(code[None]) for code in codes])


def _start(
    synthesis: Synthesis, target: list[Tensor], shape: Sequence[int], features: FrozenFeatures, config
) -> Tensor:
    """The mean code of a network that knows it, otherwise the best of some random ones."""
    device = target[0].device
    mean = getattr(synthesis, "w_avg", None)
    if isinstance(mean, Tensor):
        return mean.detach().to(device).expand(1, *shape).clone()
    random = torch.Generator().manual_seed(config.seed)
    codes = torch.randn(config.starts, *shape, generator=random).to(device)
    with torch.no_grad():
        distances = [_distance(_comparable(synthesis(c[None]), features, config), target, config) for c in codes]
    return codes[int(torch.cat(distances).argmin())][None].clone()


def _comparable(images: Tensor, features: FrozenFeatures, config: LatentOptimisation) -> list[Tensor]:
    """Images [N, 3, S, S] -> what is compared of them: the image at one size, and its feature maps."""
    if images.shape[-1] != config.side:
        shrinking = images.shape[-1] > config.side
        images = F.interpolate(images, (config.side,) * 2, mode="bilinear", align_corners=False, antialias=shrinking)
    return [images, *features(images)]


def _distance(one: list[Tensor], other: list[Tensor], config: LatentOptimisation) -> Tensor:
    """Of two lists of `_comparable`: [N]."""
    pixels = (one[0] - other[0]).abs().flatten(1).mean(dim=1)
    maps = [(a - b).square().flatten(1).mean(dim=1) for a, b in zip(one[1:], other[1:], strict=True)]
    return config.pixels * pixels + config.features * torch.stack(maps).mean(dim=0)


def _anneal(optimizer: torch.optim.Optimizer, lr: float, share: float) -> None:
    """Full speed for three quarters of the steps, then linearly to a tenth: the code settles."""
    for group in optimizer.param_groups:
        group["lr"] = lr * min(1.0, 0.1 + 3.6 * (1 - share))


def compare(settings: Comparison, config: LatentOptimisation) -> dict:
    """Project and age held-out faces, beside our generator; returns what metrics.json holds.

    Raises:
        SourceError, CheckpointError, OSError, ValueError: something that is needed is missing or of another kind.
    """
    device, ages, out = torch.device(settings.device), sorted(settings.ages), settings.out
    synthesis = open_network(settings.generator, device)
    _check(synthesis, settings, device)
    reader = load_checkpoint(AgeClassifier, ClassifierConfig, settings.classifier).requires_grad_(False).to(device)
    features = FrozenFeatures().to(device)
    ours = generator_editor(load_checkpoint(Generator, GeneratorConfig, settings.checkpoint), ages, device)
    tested = choose_held_out(list_faces(settings.data), settings.count)
    (out / "outputs").mkdir(parents=True, exist_ok=True)

    rows, measured = [], []
    for face in tqdm(tested, desc="faces"):
        photo = face.read(512)
        image = to_unit(torch.from_numpy(photo).permute(2, 0, 1)[None].to(device))
        began = time.monotonic()
        code = project(synthesis, image, settings.code, features, config)
        middle = time.monotonic()
        codes = optimise_ages(synthesis, code, ages, reader, features, config)
        end = time.monotonic()
        with torch.no_grad():
            pictures = _to_uint8(_render(synthesis, torch.cat([code, codes])), len(photo))
        edits = [edit.image for edit in ours(photo, face.name)]
        for age, picture in zip(ages, pictures[1:], strict=True):
            Image.fromarray(picture).save(out / "outputs" / f"{Path(face.name).stem}_age_{age}.png")
        rows.append([photo, *pictures, *edits])
        measured.append(
            {
                "face": face.name,
                "age_input": _read(reader, [photo])[0],
                "age_projected": _read(reader, pictures[:1])[0],
                "ages_latent": _read(reader, pictures[1:]),
                "ages_ours": _read(reader, edits),
                "change_projection": _change(photo, pictures[0]),
                "changes_latent": [_change(photo, picture) for picture in pictures[1:]],
                "changes_ours": [_change(photo, edit) for edit in edits],
                "seconds_projection": round(middle - began, 2),
                "seconds_ages": round(end - middle, 2),
            }
        )
    captions = ["input", "projected", *(f"latent {age}" for age in ages), *(f"ours {age}" for age in ages)]
    save_sheet(out / "sheet.png", rows, captions, SHEET_SIZE)
    result = {"generator": settings.generator, "ages": ages, "faces": measured}
    (out / "metrics.json").write_text(json.dumps(result, indent=2) + "\n")
    return result


def _check(synthesis: Synthesis, settings: Comparison, device: torch.device) -> None:
    spec, shape = settings.generator, settings.code
    code = torch.zeros(1, *shape, device=device, requires_grad=True)
    try:
        images = synthesis(code)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise SourceError(
            f"{spec}: does not take codes [N, {', '.join(map(str, shape))}] (--code): {reason}"
        ) from error
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3:
        raise SourceError(f"{spec}: gives no images [N, 3, S, S]")
    if not images.requires_grad:
        raise SourceError(f"{spec}: its images carry no gradient; take it out of torch.no_grad()")


def _to_uint8(images: Tensor, size: int) -> list[np.ndarray]:
    """[N, 3, S, S] in [-1, 1] -> N images [size, size, 3] uint8."""
    if images.shape[-1] != size:
        shrinking = images.shape[-1] > size
        images = F.interpolate(images, (size, size), mode="bicubic", align_corners=False, antialias=shrinking)
    return list(((images.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())


@torch.no_grad()
def _read(classifier: AgeClassifier, images: Sequence[np.ndarray]) -> list[float]:
    """V's ages of images [S, S, 3] uint8, in years."""
    x = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(next(classifier.parameters()).device)
    logits, _ = classifier(chip(to_unit(x), classifier.config.resolution))
    return [round(age, 2) for age in expected_age(logits).tolist()]


def _change(image: np.ndarray, edited: np.ndarray) -> float:
    """Mean absolute difference, of 255."""
    return round(float(np.abs(image.astype(np.int16) - edited).mean()), 3)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add, ours, default = parser.add_argument, Comparison, LatentOptimisation
    add("--generator", required=True, metavar="SOURCE", help="the StyleGAN-family generator")
    add("--code", type=int, nargs="+", default=ours.code, metavar="N", help="shape of a code (default: 512)")
    add("--checkpoint", type=Path, default=ours.checkpoint, help="our generator (default: %(default)s)")
    add("--classifier", type=Path, default=ours.classifier, help="V (default: %(default)s)")
    add("--data", type=Path, nargs="+", required=True, help="zips of FFHQ-aligned faces + labels.csv")
    add("--out", type=Path, required=True, help="folder for the results")
    add("--count", type=int, default=ours.count, help="faces (default: %(default)s)")
    add("--ages", type=int, nargs="+", default=ours.ages, help="target ages (default: 25 45 65)")
    add("--starts", type=int, default=default.starts, help="random codes to start from (default: %(default)s)")
    add("--project-steps", type=int, default=default.project_steps, help="default: %(default)s")
    add("--edit-steps", type=int, default=default.edit_steps, help="default: %(default)s")
    add("--lr", type=float, default=default.lr, help="default: %(default)s")
    add("--seed", type=int, default=default.seed)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: %(default)s")
    given = parser.parse_args()
    if given.count < 1 or any(not 0 <= age <= 100 for age in given.ages):
        parser.error("--count is at least 1, and ages are within 0..100")
    settings = Comparison(
        given.generator, tuple(given.data), given.out, tuple(given.code), given.checkpoint, given.classifier,
        given.count, tuple(given.ages), given.device,
    )  # fmt: skip
    config = LatentOptimisation(given.starts, given.project_steps, given.edit_steps, given.lr, seed=given.seed)
    with failing_in_a_sentence("train.latent_optimisation"):
        result = compare(settings, config)
    for face in result["faces"]:
        print(f"{face['face']}: V reads {face['ages_latent']} (latent), {face['ages_ours']} (ours)")


if __name__ == "__main__":
    main()
