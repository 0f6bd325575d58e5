"""Make a data set of a folder of photos: detect, align, label by V, balance the ages, write an archive.

python -m train.prepare FOLDER --out DATA.zip [--size 512] [--per-age 1000] [--synthetic SOURCE]

As in section 4.1 of the paper: every year of age from 20 to 69 gets N faces; a random N where the photos have more,
synthetic ones, labelled by V too, where they have fewer and a source is named. Beside DATA.zip it writes
DATA-photos.csv (what became of each photo), DATA-ages.csv and DATA-ages.png (the balance). All work is kept in
DATA-work until the archive is complete: after a kill, the same command goes on where it was, to the same archive.
MediaPipe (requirements.txt) runs in processes of its own.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from agetransformer.checkpoint import WEIGHTS_NAME, CheckpointError, load_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig, chip, expected_age
from agetransformer.cpus import usable_cpus
from agetransformer.files import written_whole
from train.aligning import Aligning, AligningError, Request, align_photos
from train.balance import OLDEST, YOUNGEST, age_bin, choose_balanced, count_ages
from train.data import to_unit
from train.histogram import save_histogram
from train.journal import open_journal
from train.synthetic import Source, SourceError, draw, open_source

BAD_INPUT = 2  # exit code, the same as argparse's for a bad argument
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".avif", ".heic", ".heif", ".tif", ".tiff", ".gif")
_LISTED = 20  # broken photos that are printed; the CSV has them all
_WEBP_QUALITY = 95


class PrepareError(ValueError):
    """No data set can be made of this; the message says what to do."""


@dataclass(frozen=True)
class Preparation:
    """Everything that a run of this file depends on."""

    folder: Path  # photos, in subfolders too
    out: Path  # the archive
    size: int = 512  # side of its images in pixels
    min_side: int | None = None  # photo pixels: faces whose square is smaller are left out; None is half of `size`
    aligned: bool = False  # the photos are FFHQ-aligned squares already
    per_age: int = 1000  # faces a year of age
    synthetic: str = ""  # where more faces come from (train.synthetic.open_source); empty: nowhere
    synthetic_limit: int = 300_000  # draw at most so many, in whole batches (paper: 300,000)
    classifier: Path = Path("checkpoints/classifier")  # V
    batch: int = 32  # faces that V reads at once
    seed: int = 0
    workers: int = 1  # processes that align
    device: str = "cpu"
    keep_work: bool = False  # keep DATA-work, for another archive of the same photos and name

    @property
    def work(self) -> Path:
        """The folder of what is done so far."""
        return self.out.with_name(f"{self.out.stem}-work")

    def beside(self, ending: str) -> Path:
        """A report's path."""
        return self.out.with_name(f"{self.out.stem}-{ending}")


@dataclass(frozen=True)
class Face:
    """An aligned face, labelled by V."""

    file: str  # path below the work folder, and name in the archive
    photo: str  # path below the folder of photos; empty for a synthetic face
    age: float  # years, two decimals
    gender: str  # "female" or "male"


@dataclass(frozen=True)
class Aligned:
    """What the photos gave."""

    faces: tuple[tuple[str, str], ...]  # (file, photo), by photo
    outcomes: dict[str, str]  # photo -> what became of it, where it gave no face
    digest: str  # of everything that the squares depend on


def prepare(settings: Preparation) -> dict[int, int]:
    """Make the archive and its reports; returns the number of faces of each age that are in it.

    Raises:
        PrepareError: no photos, no faces, or the archive is there already.
        AligningError, CheckpointError, SourceError: MediaPipe, V or the source of synthetic faces cannot be used.
    """
    if settings.out.exists():
        raise PrepareError(f"{settings.out} is there already; remove it, or name another --out")
    photos = list_photos(settings.folder)
    if settings.out.resolve().is_relative_to(settings.folder.resolve()):
        raise PrepareError(f"{settings.out} lies in the folder of photos; name an --out elsewhere")
    device = torch.device(settings.device)
    classifier = load_checkpoint(AgeClassifier, ClassifierConfig, settings.classifier).to(device)
    if classifier.gender is None:
        raise PrepareError(f"{settings.classifier} has no gender head, so it cannot label; name another --classifier")
    source = open_source(settings.synthetic, device) if settings.synthetic else None
    if source:
        _sized(draw(source, 1, settings.seed), settings, source)  # what is wrong with it is said before the work
    settings.work.mkdir(parents=True, exist_ok=True)

    aligned = align_folder(settings, photos)
    if not aligned.faces:
        _write_photos(settings, aligned, (), set())
        reasons = sorted(set(aligned.outcomes.values()), key=list(aligned.outcomes.values()).count, reverse=True)
        raise PrepareError(
            f"none of the {len(photos)} photos in {settings.folder} gave a face ({'; '.join(reasons[:3])}); "
            f"{settings.beside('photos.csv')} says why for each"
        )
    faces = label_faces(settings, classifier, aligned)
    kept = [faces[index] for index in choose_balanced([face.age for face in faces], settings.per_age, settings.seed)]
    real = count_ages([face.age for face in kept])
    made = fill_ages(settings, classifier, source, real) if source else []
    if not kept and not made:
        _write_photos(settings, aligned, faces, set())
        raise PrepareError(f"none of the {len(faces)} faces is of an age within {YOUNGEST}..{OLDEST}")

    synthetic = count_ages([face.age for face in made])
    found = count_ages([face.age for face in faces])
    _write_photos(settings, aligned, faces, {face.file for face in kept})
    _write_ages(settings, found, real, synthetic)
    save_histogram(settings.beside("ages.png"), found, real, synthetic)
    write_archive(settings, [*kept, *made])
    if not settings.keep_work:
        shutil.rmtree(settings.work)
    _summarise(settings, aligned, len(faces), real, synthetic)
    return {year: real[year] + synthetic[year] for year in real}


def list_photos(folder: Path) -> list[str]:
    """Paths of the photos below a folder, sorted; what is hidden or has no photo's ending is left out."""
    if not folder.is_dir():
        raise PrepareError(f"{folder}: no such folder of photos")
    photos = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in ENDINGS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not photos:
        raise PrepareError(f"{folder}: no photos here (files that end in {', '.join(ENDINGS)})")
    return photos


def find_twins(photos: Sequence[str]) -> dict[str, str]:
    """Photo -> an earlier one of its folder that is called the same but for the ending: a phone's HEIC and its JPEG.

    Trained on both, one could be held out and the other not.
    """
    first: dict[str, str] = {}
    named = ((photo, first.setdefault(os.path.splitext(photo)[0], photo)) for photo in photos)
    return {photo: twin for photo, twin in named if twin != photo}


def name_faces(photos: Sequence[str]) -> dict[str, str]:
    """Photo -> the stem of its faces' files.

    The name stays the photo's, because held-out faces are chosen by it: the same photo is held out of every data set.
    """
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for photo in photos:
        path, ending = os.path.splitext(photo.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
        stem, number = f"photos/{path}", 1
        while stem.casefold() in taken or re.search(r"_face\d+$", stem):
            stem, number = f"photos/{path}-{ending[1:]}" + (f"-{number}" if number > 1 else ""), number + 1
        taken.add(stem.casefold())
        stems[photo] = stem
    return stems


def align_folder(settings: Preparation, photos: Sequence[str]) -> Aligned:
    """Squares of every face of every photo in the work folder; photos that were done before are not done again.

    Raises:
        AligningError: see `align_photos`; what was done before it is kept.
    """
    min_side = settings.size // 2 if settings.min_side is None else settings.min_side
    aligning = Aligning(settings.size, min_side, aligned=settings.aligned)
    twins = find_twins(photos)
    photos = [photo for photo in photos if photo not in twins]
    stems = name_faces(photos)
    stamps = {}
    for photo in photos:
        stat = (settings.folder / photo).stat()
        stamps[photo] = f"{stems[photo]} {stat.st_size} {stat.st_mtime_ns}"
    key = {"folder": str(settings.folder.resolve()), "arguments": aligning.arguments()}
    answers: dict[str, list[dict]] = {photo: [] for photo in photos}  # two where the first killed a worker
    with open_journal(settings.work / "aligned.jsonl", key) as (entries, append):
        for entry in entries:
            photo = entry["photo"]
            if stamps.get(photo) == entry["stamp"]:
                answers[photo].append(_below_work(entry["answer"], stems[photo]))
        done = sum(map(_settled, answers.values()))
        with tqdm(total=len(photos), initial=done, desc="align", unit="photo") as progress:
            for photo, answer in _align_the_rest(settings, aligning, stems, answers):
                answers[photo].append(_below_work(answer, stems[photo]))
                append({"photo": photo, "stamp": stamps[photo], "answer": answers[photo][-1]})
                progress.update(_settled(answers[photo]))
    last = {photo: answers[photo][-1] for photo in photos}
    aligned = _collect(photos, last, _hash([key, [(stamps[photo], last[photo]) for photo in photos]]))
    for photo, twin in twins.items():
        aligned.outcomes[photo] = f"the same name as {twin}; rename it if it is another photo"
    return aligned


def _align_the_rest(
    settings: Preparation, aligning: Aligning, stems: Mapping[str, str], answers: Mapping[str, Sequence[dict]]
) -> Iterator[tuple[str, dict]]:
    """Photos that are not settled by their answers so far, with the next one; what kills a worker comes again, last."""
    for tries in (0, 1):
        waiting = [photo for photo in stems if len(answers[photo]) == tries and not _settled(answers[photo])]
        requests = {
            Request((settings.folder / photo).resolve(), (settings.work / stems[photo]).resolve()): photo
            for photo in waiting
        }
        log = settings.work / "aligning.log"
        for request, answer in align_photos(list(requests), aligning, settings.workers, log, tries > 0):
            yield requests[request], answer


def _settled(answers: Sequence[dict]) -> bool:
    """Whether a photo is not to be tried again: the second worker that it kills is the last."""
    return len(answers) > 1 or any("died" not in answer for answer in answers)


def _below_work(answer: dict, stem: str) -> dict:
    """The answer of a photo with its faces' paths below the work folder, which may be moved.

    Args:
        answer: with their paths anywhere, as the worker gives them.
        stem: of its faces, below the work folder.
    """
    if "faces" not in answer:
        return answer
    return answer | {"faces": [Path(stem).with_name(Path(face).name).as_posix() for face in answer["faces"]]}


def _collect(photos: Sequence[str], answers: dict[str, dict], digest: str) -> Aligned:
    faces: list[tuple[str, str]] = []
    outcomes: dict[str, str] = {}
    first: dict[str, str] = {}  # sha256 -> photo
    for photo in photos:
        answer = answers[photo]
        if "error" in answer:
            outcomes[photo] = f"skipped: {answer['error']}"
        elif "died" in answer:
            outcomes[photo] = f"skipped: {answer['died']}, twice"
        elif answer["sha256"] in first:
            outcomes[photo] = f"the same file as {first[answer['sha256']]}"
        elif answer["faces"]:
            faces += [(face, photo) for face in answer["faces"]]
        else:
            outcomes[photo] = "faces too small" if answer["small"] else "no face"
        if "sha256" in answer:
            first.setdefault(answer["sha256"], photo)
    return Aligned(tuple(faces), outcomes, digest)


@torch.inference_mode()
def read_labels(classifier: AgeClassifier, images: np.ndarray) -> list[tuple[float, str]]:
    """V's (age in years, gender) of aligned squares [N, S, S, 3] uint8."""
    device = next(classifier.parameters()).device
    x = to_unit(torch.from_numpy(images).to(device).permute(0, 3, 1, 2))
    ages, genders = classifier(chip(x, classifier.config.resolution))
    return [
        (round(age, 2), "female" if logit > 0 else "male")
        for age, logit in zip(expected_age(ages).tolist(), genders.tolist(), strict=True)
    ]


def label_faces(settings: Preparation, classifier: AgeClassifier, aligned: Aligned) -> tuple[Face, ...]:
    """Every face with V's age and gender. Batches are the same in a resumed run, and so are V's roundings."""
    faces = aligned.faces
    key = {"classifier": _digest(settings.classifier), "batch": settings.batch, "aligned": aligned.digest}
    batches = [faces[start : start + settings.batch] for start in range(0, len(faces), settings.batch)]
    with open_journal(settings.work / "labels.jsonl", key) as (entries, append):
        labels = [tuple(label) for entry in entries for label in entry["labels"]]
        with tqdm(total=len(faces), initial=len(labels), desc="label", unit="face") as progress:
            for batch in batches[len(entries) :]:
                images = np.stack([np.asarray(Image.open(settings.work / file).convert("RGB")) for file, _ in batch])
                read = read_labels(classifier, images)
                append({"labels": read})
                labels += read
                progress.update(len(batch))
    return tuple(Face(*named, *label) for named, label in zip(faces, labels, strict=True))


def fill_ages(settings: Preparation, classifier: AgeClassifier, source: Source, have: dict[int, int]) -> list[Face]:
    """Synthetic faces until every year of age has `per_age`, or the limit is drawn; only what is needed is kept."""
    needs = {year: settings.per_age - count for year, count in have.items()}
    key = {"source": source.identity, "classifier": _digest(settings.classifier), "seed": settings.seed}
    key |= {"size": settings.size, "batch": settings.batch, "needs": _hash(needs)}
    made: list[Face] = []
    folder = settings.work / "synthetic"
    folder.mkdir(exist_ok=True)
    with open_journal(settings.work / "synthetic.jsonl", key) as (entries, append):
        for entry in entries:
            made += [Face(file, "", age, gender) for file, age, gender in entry["kept"]]
        for face in made:
            needs[age_bin(face.age)] -= 1
        missing = sum(needs.values())
        drawn = len(entries) * settings.batch
        with tqdm(total=len(made) + missing, initial=len(made), desc="synthesise", unit="face") as progress:
            while missing and drawn < settings.synthetic_limit:
                number = drawn // settings.batch
                images = _sized(draw(source, settings.batch, settings.seed * 1_000_003 + number), settings, source)
                kept = []
                for index, (age, gender) in enumerate(read_labels(classifier, images)):
                    year = age_bin(age)
                    if year is None or needs[year] == 0:
                        continue
                    file = f"synthetic/{number:06d}_{index:03d}.webp"
                    Image.fromarray(images[index]).save(settings.work / file, "WEBP", quality=_WEBP_QUALITY)
                    needs[year] -= 1
                    kept.append(Face(file, "", age, gender))
                append({"kept": [(face.file, face.age, face.gender) for face in kept]})
                made += kept
                missing -= len(kept)
                drawn += settings.batch
                progress.update(len(kept))
                progress.set_postfix(drawn=drawn, refresh=False)
    return made


def _sized(images: np.ndarray, settings: Preparation, source: Source) -> np.ndarray:
    """[N, S, S, 3] at the archive's size; a generator whose faces would have to be enlarged is refused."""
    side = images.shape[1]
    if side < settings.size:
        raise SourceError(f"{source.identity} makes faces of {side} px; take --size {side}, or a larger generator")
    if side == settings.size:
        return images
    shape = (settings.size, settings.size)
    return np.stack([np.asarray(Image.fromarray(image).resize(shape, Image.Resampling.LANCZOS)) for image in images])


def write_archive(settings: Preparation, faces: Sequence[Face]) -> None:
    """The zip that train.data.load_faces reads; aside first, then renamed. The same faces give the same bytes."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "age", "gender", "synthetic"])
    writer.writerows([face.file, f"{face.age:.2f}", face.gender, int(not face.photo)] for face in faces)
    with written_whole(settings.out) as aside, zipfile.ZipFile(aside, "w") as archive:
        archive.writestr(zipfile.ZipInfo("labels.csv"), table.getvalue(), zipfile.ZIP_DEFLATED)
        for face in tqdm(faces, desc="write", unit="face"):
            archive.writestr(zipfile.ZipInfo(face.file), (settings.work / face.file).read_bytes())


def _write_photos(settings: Preparation, aligned: Aligned, faces: Sequence[Face], kept: set[str]) -> None:
    def outcome(face: Face) -> str:
        if face.file in kept:
            return "taken"
        within = age_bin(face.age) is not None
        return "enough of this age" if within else f"age outside {YOUNGEST}..{OLDEST}"

    rows = [(face.photo, face.file, f"{face.age:.2f}", face.gender, outcome(face)) for face in faces]
    rows += [(photo, "", "", "", why) for photo, why in aligned.outcomes.items()]
    _write_csv(settings.beside("photos.csv"), ("photo", "face", "age", "gender", "outcome"), sorted(rows))


def _write_ages(settings: Preparation, found: dict[int, int], real: dict[int, int], synthetic: dict[int, int]) -> None:
    rows = [
        (year, found[year], real[year], synthetic[year], settings.per_age - real[year] - synthetic[year])
        for year in found
    ]
    _write_csv(settings.beside("ages.csv"), ("age", "found", "taken", "synthetic", "missing"), rows)


def _write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _summarise(
    settings: Preparation, aligned: Aligned, faces: int, real: dict[int, int], synthetic: dict[int, int]
) -> None:
    skipped = [f"{photo}: {why}" for photo, why in _skipped(aligned)]
    for line in skipped[:_LISTED]:
        print(line.encode("utf-8", "backslashreplace").decode(), file=sys.stderr)
    if len(skipped) > _LISTED:
        print(f"... and {len(skipped) - _LISTED} more, in {settings.beside('photos.csv')}", file=sys.stderr)
    short = {year: real[year] + synthetic[year] for year in real if real[year] + synthetic[year] < settings.per_age}
    print(f"{settings.out}: {sum(real.values())} of {faces} faces and {sum(synthetic.values())} synthetic ones")
    if short:
        print(f"{len(short)} of {len(real)} ages have fewer than {settings.per_age}: see {settings.beside('ages.png')}")


def _skipped(aligned: Aligned) -> Iterator[tuple[str, str]]:
    return ((photo, why) for photo, why in aligned.outcomes.items() if why.startswith("skipped"))


def _digest(checkpoint: Path) -> str:
    return hashlib.sha256((checkpoint / WEIGHTS_NAME).read_bytes()).hexdigest()


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="photos, in subfolders too")
    add("--out", type=Path, required=True, metavar="DATA.zip", help="the archive")
    add("--size", type=int, default=Preparation.size, help="side of its images in pixels (default: %(default)s)")
    add("--min-side", type=int, help="leave out faces whose square is smaller in the photo (default: half of --size)")
    add("--aligned", action="store_true", help="the photos are FFHQ-aligned squares already")
    add("--per-age", type=int, default=Preparation.per_age, help="faces a year of age (default: %(default)s)")
    add("--synthetic", default="", metavar="SOURCE", help="MODULE:FUNCTION, TorchScript file or OWNER/REPO:FILE")
    add(
        "--synthetic-limit",
        type=int,
        default=Preparation.synthetic_limit,
        help="draw at most, by batches (default: %(default)s)",
    )
    add("--classifier", type=Path, default=Preparation.classifier, help="V (default: %(default)s)")
    add("--batch", type=int, default=Preparation.batch, help="faces that V reads at once (default: %(default)s)")
    add("--seed", type=int, default=Preparation.seed, help="of the random choices (default: %(default)s)")
    add("--workers", type=int, default=usable_cpus(), help="processes that align (default: %(default)s)")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: %(default)s")
    add(
        "--keep-work",
        action="store_true",
        help="keep DATA-work, for another archive of the same photos and name",
    )
    given = parser.parse_args(arguments)
    positive = ("size", "per_age", "synthetic_limit", "batch", "workers")
    if any(getattr(given, name) < 1 for name in positive) or given.seed < 0:
        parser.error("sizes, counts and --workers are at least 1, and --seed at least 0")
    if given.out.suffix.lower() != ".zip":
        parser.error(f"--out is a zip archive: {given.out.with_suffix('.zip')}?")
    settings = Preparation(**vars(given))
    try:
        prepare(settings)
    except (PrepareError, CheckpointError, SourceError) as error:
        print(f"train.prepare: {error}", file=sys.stderr)
        return BAD_INPUT
    except (AligningError, OSError) as error:
        print(f"train.prepare: {error}; the same command goes on from here", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("train.prepare: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
