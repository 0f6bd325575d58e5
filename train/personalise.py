"""Fine-tune the generator on one person, from at least five photos of known age.

python -m train.personalise FOLDER --out runs/me [--images 1200] [--minutes 10]

The ages stand in FOLDER/ages.csv (columns file, age), or in the photos' names: beach_age_34.jpg. Of each photo the
largest face is taken. One photo is never trained on: before.png and after.png show it at 25, 35, 45, 55 and 65, and
metrics.json says what changed on it. OUT/generator is the checkpoint. MediaPipe (requirements.txt) runs in a process
of its own.

The losses are train.generator's without the GAN: a discriminator that knows five photos learns them by heart.
"""

import argparse
import json
import math
import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from agetransformer.checkpoint import CheckpointError, load_checkpoint
from agetransformer.classifier import AgeClassifier, chip
from agetransformer.hub import save_pretrained
from agetransformer.networks import Generator, GeneratorConfig
from train.aligning import Aligning, AligningError, Request, align_photos
from train.archives import table_reader
from train.batches import age_balance, draw_batch
from train.data import Faces, to_unit
from train.deadline import Deadline
from train.face_reader import FaceReader, FaceReaderError
from train.generator import (
    OLDEST,
    YOUNGEST,
    GeneratorTraining,
    LossWeights,
    Networks,
    Phase,
    build_networks,
    train_step,
)
from train.judges import IdentityJudge, JudgeError
from train.map_skin import read_skin_map
from train.memory import keep_freed_memory
from train.prepare import BAD_INPUT, PrepareError, list_photos
from train.samples import SAMPLE_AGES, measure_samples, save_samples
from train.skin_maps import stack_skin_maps

FEWEST = 5  # photos

_WEIGHTS = LossWeights(
    recon=10.0, age=0.02, age_robust=0.3, gan=0.0, gender=0.3, residual=1.0, outside=80.0, smoothness=1.0, chroma=100.0
)
_AGE = re.compile(r"_age_(\d+(?:\.\d+)?)$")


@dataclass(frozen=True)
class Personalisation:
    """Everything that a run of this file depends on."""

    folder: Path
    out: Path
    checkpoint: Path = Path("checkpoints/generator")
    classifier: Path = Path("checkpoints/classifier")
    robust_classifier: Path = Path("checkpoints/classifier-robust")
    images: int = 1200  # seen in training, the same photos again and again
    minutes: float = float("inf")  # stop after this wall time
    batch: int = 4  # at most; and at most half of the photos that are trained on
    lr: float = 2e-5
    weights: LossWeights = _WEIGHTS
    seed: int = 0
    device: str = "cpu"


def personalise(settings: Personalisation) -> dict[str, dict[str, float]]:
    """Fine-tune, and write the checkpoint, the pictures and the metrics (returned: before and after).

    Raises:
        PrepareError: fewer than five usable photos, ages that are missing or wrong, or OUT holds a generator already.
        AligningError, CheckpointError, FaceReaderError, JudgeError: MediaPipe, a checkpoint or a judge is unusable.
    """
    if (settings.out / "generator").exists():
        raise PrepareError(f"{settings.out} holds a generator already; name another --out")
    ages = read_ages(settings.folder, list_photos(settings.folder))
    _require_enough(len(ages), "photos of known age")
    device = torch.device(settings.device)
    nets = build_networks(_training(settings), device)
    judge = IdentityJudge()
    faces = align_person(settings, ages, nets)
    train, test = split(faces)

    before = measure(nets, test, judge, settings.out / "before.png")
    _fit(settings, nets, train)
    after = measure(nets, test, judge, settings.out / "after.png")
    metrics = {"before": before, "after": after}
    (settings.out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    save_pretrained(nets.average, settings.out / "generator", _card(settings, len(train), metrics))
    return metrics


def read_ages(folder: Path, photos: Sequence[str]) -> dict[str, float]:
    """Photo -> the person's age in it, of photos whose age is within 20..69; the others are named and left out.

    Raises:
        PrepareError: an age is missing or no number, or ages.csv is no such table or names a photo that is not there.
    """
    table = folder / "ages.csv"
    texts = {photo: found[1] for photo in photos if (found := _AGE.search(Path(photo).stem))}
    if table.is_file():
        try:
            rows = list(table_reader(table.read_bytes(), table))
        except ValueError as error:
            raise PrepareError(str(error)) from error
        if not rows or not {"file", "age"} <= rows[0].keys():
            raise PrepareError(f"{table}: expected a table with the columns file, age")
        texts |= {row["file"]: row["age"] or "" for row in rows}
    if unknown := sorted(texts.keys() - set(photos)):
        raise PrepareError(f"{table}: {unknown[0]} is not in {folder}")
    if missing := [photo for photo in photos if photo not in texts]:
        raise PrepareError(
            f"{missing[0]} has no age: name it like {Path(missing[0]).stem}_age_34{Path(missing[0]).suffix},"
            f" or write {table} with the columns file, age"
        )
    ages = {}
    for photo in photos:
        try:
            ages[photo] = float(texts[photo])
            if not math.isfinite(ages[photo]):
                raise ValueError
        except ValueError as error:
            raise PrepareError(f"{photo}: '{texts[photo]}' is not an age in years") from error
        if not YOUNGEST <= round(ages[photo]) <= OLDEST:
            print(f"{photo}: left out, {ages.pop(photo):g} years is outside {YOUNGEST}..{OLDEST}", file=sys.stderr)
    return ages


def align_person(settings: Personalisation, ages: dict[str, float], nets: Networks) -> Faces:
    """The largest face of each photo at the generator's resolution, by age; photos without one are named."""
    size = nets.generator.config.resolution
    aligning = Aligning(size, size // 2, max_faces=1)
    done: dict[str, np.ndarray] = {}
    first: dict[str, str] = {}  # sha256 -> photo
    settings.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        requests = {
            Request((settings.folder / photo).resolve(), Path(folder) / f"{index:04d}"): photo
            for index, photo in enumerate(ages)
        }
        answers = align_photos(list(requests), aligning, 1, settings.out / "aligning.log")
        for request, answer in tqdm(answers, total=len(requests), desc="align", unit="photo"):
            photo = requests[request]
            same = first.setdefault(answer.get("sha256", photo), photo)
            if same != photo:  # it could be the unseen one
                print(f"{photo}: left out, the same file as {same}", file=sys.stderr)
                continue
            if answer.get("faces"):
                with Image.open(answer["faces"][0]) as image:
                    done[photo] = np.array(image.convert("RGB"))
                continue
            small = f"the face is narrower than {size // 2} pixels" if answer.get("small") else "no face"
            sentence = answer.get("error") or answer.get("died") or small
            print(f"{photo}: left out, {sentence}", file=sys.stderr)
    _require_enough(len(done), "photos with a face")
    photos = sorted(done, key=lambda photo: (ages[photo], photo))
    images = torch.from_numpy(np.stack([done[photo] for photo in photos])).permute(0, 3, 1, 2).contiguous()
    images = images.to(settings.device)
    whole = torch.tensor([ages[photo] for photo in photos], device=images.device).round()
    female = read_gender(nets.classifier, images).expand(len(photos)).contiguous()
    with closing(FaceReader()) as reader:
        skin = stack_skin_maps([read_skin_map(done[photo], reader) for photo in photos]).to(images.device)
    return Faces(images, whole, female, tuple(photos), torch.zeros_like(female, dtype=torch.int64), female * 0, skin)


@torch.inference_mode()
def read_gender(classifier: AgeClassifier, images: Tensor) -> Tensor:
    """One person's gender by V, over all the photos [N, 3, S, S] uint8: scalar 1 (female) or 0."""
    logits = classifier(chip(to_unit(images), classifier.config.resolution))[1]
    if logits is None:
        raise CheckpointError("V has no gender head; name another --classifier")
    return (logits.mean() > 0).float()


def split(faces: Faces) -> tuple[Faces, Faces]:
    """The photos to train on; and the one of middle age, which is not: it has older and younger ones beside it."""
    unseen = torch.zeros(len(faces), dtype=torch.bool, device=faces.images.device)
    unseen[len(faces) // 2] = True
    return faces.select(~unseen), faces.select(unseen)


def measure(nets: Networks, test: Faces, judge: IdentityJudge, picture: Path) -> dict[str, float]:
    """The averaged generator on the unseen photo: written as a picture, and in numbers, of which lower is better."""
    edits = save_samples(nets.average, test, SAMPLE_AGES, picture)[0]
    values = measure_samples(nets.classifier, test, edits[None], SAMPLE_AGES)
    made = ((edits.clamp(-1, 1) + 1) * 127.5).round().byte()
    pictures = torch.cat([test.images, made]).permute(0, 2, 3, 1).contiguous().cpu().numpy()
    descriptors = judge.describe([*pictures], judge.locate(pictures[0]))
    with torch.inference_mode():
        images = to_unit(test.images)
        own = (nets.average(images, test.ages) - images).abs().mean().item() * 127.5
    return {
        "reconstruction": round(own, 4),  # mean change at the person's own age, of 255
        "age_error": round(float(np.mean([abs(values[f"age_{age}"] - age) for age in SAMPLE_AGES])), 4),  # years, by V
        "identity": round(float(np.linalg.norm(descriptors[1:] - descriptors[0], axis=1).mean()), 4),  # dlib's distance
        "background": round(values["change_background"], 4),  # of 255
    }


def _training(settings: Personalisation) -> GeneratorTraining:
    return GeneratorTraining(
        classifier=str(settings.classifier),
        robust_classifier=str(settings.robust_classifier),
        label_by_classifier=False,
        start=str(settings.checkpoint),
        model=load_checkpoint(Generator, GeneratorConfig, settings.checkpoint).config,
        min_gap=10,
        label_width=2.0,
        face_only=True,
        ema=0.98,  # runs are short
        view_jitter=1.0,
        seed=settings.seed,
    )


def _fit(settings: Personalisation, nets: Networks, train: Faces) -> None:
    batch = min(settings.batch, len(train) // 2)  # draw_batch draws twice as many without repeating any
    phase = Phase(settings.images, nets.generator.config.resolution, batch, settings.lr, settings.weights)
    for group in nets.generator_optimizer.param_groups:
        group["lr"] = phase.lr
    training, weights, deadline = _training(settings), age_balance(train.ages.cpu()), Deadline(settings.minutes)
    with tqdm(total=phase.images, unit="image") as progress, deadline.heeding_signals():
        for step in range(-(-phase.images // batch)):
            if deadline.is_over(step):
                break
            drawn = draw_batch(train, weights, batch, step, training.seed, training.min_gap)
            losses = train_step(nets, drawn, phase, training, step)
            progress.update(batch)
            if step % 10 == 0:  # reading them waits for a GPU
                progress.set_postfix({name: f"{value:.2f}" for name, value in losses.items()}, refresh=False)


def _require_enough(count: int, what: str) -> None:
    if count < FEWEST:
        raise PrepareError(
            f"a person needs at least {FEWEST} {what} between {YOUNGEST} and {OLDEST} years, and there are {count}:"
            " add photos, best from different years"
        )


def _card(settings: Personalisation, photos: int, metrics: dict[str, dict[str, float]]) -> str:
    rows = [f"| {name} | {metrics['before'][name]} | {metrics['after'][name]} |" for name in metrics["before"]]
    return (
        "# Face age editing for one person\n\n"
        f"Fine-tuned by train.personalise from `{settings.checkpoint.name}` on {photos} photos of one person. It "
        "is for this person's photos only, and it carries their likeness: share it only if they agree.\n\n"
        "On a photo of theirs that it was not trained on:\n\n"
        "| | before | after |\n|---|---|---|\n" + "\n".join(rows) + "\n\n"
        "reconstruction and background: mean change of 255; age_error: years by V at 25..65; identity: distance of "
        "dlib's face descriptors between photo and edit. Lower is better in every row.\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add, default = parser.add_argument, Personalisation
    add("folder", type=Path, metavar="FOLDER", help="one person's photos")
    add("--out", type=Path, required=True, help="folder for the generator, the pictures and the metrics")
    add("--checkpoint", type=Path, default=default.checkpoint, help="generator to start from (default: %(default)s)")
    add("--classifier", type=Path, default=default.classifier, help="V (default: %(default)s)")
    add("--robust-classifier", type=Path, default=default.robust_classifier, help="robust V (default: %(default)s)")
    add("--images", type=int, default=default.images, help="images to see (default: %(default)s)")
    add("--minutes", type=float, default=default.minutes, help="stop after this wall time")
    add("--lr", type=float, default=default.lr, help="learning rate (default: %(default)s)")
    add("--seed", type=int, default=default.seed)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: %(default)s")
    given = parser.parse_args(arguments)
    if given.images < 1 or given.minutes <= 0 or given.lr <= 0 or given.seed < 0:
        parser.error("--images, --minutes and --lr are above 0, and --seed is not below it")
    settings = Personalisation(**vars(given))
    keep_freed_memory(given.device)
    try:
        metrics = personalise(settings)
    except (PrepareError, CheckpointError) as error:
        print(f"train.personalise: {error}", file=sys.stderr)
        return BAD_INPUT
    except (AligningError, FaceReaderError, JudgeError, OSError) as error:
        print(f"train.personalise: {error}", file=sys.stderr)
        return 1
    for name, before in metrics["before"].items():
        print(f"{name}: {before} -> {metrics['after'][name]}")
    print(f"saved {settings.out / 'generator'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
