"""Measure a generator on held-out faces with independent judges, beside doing nothing and beside other methods.

python -m train.evaluate --checkpoint checkpoints/generator --data faces-a.zip faces-b.zip --out runs/evaluation

The first COUNT held-out faces (by name) are edited at each age by the generator alone: the change that it makes at its
own resolution, upsampled and added to the full-size photo, without the app's mask, check of the age, and hair. Writes
metrics.json, metrics.md, sheet.png (ten faces) and sheet_detail.png (three at full size). Another method takes part as
a folder of its outputs for the same faces, named <face>_age_<age>.png (or .jpg, .webp): --compare
IPCGAN=outputs/ipcgan. With outputs at age 60 too it gets its row in the paper's Table 1. Smile and emotion need
MediaPipe (requirements.txt) in a process of its own; without it they are left out.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.spatial.distance import pdist
from scipy.stats import rankdata
from torch import Tensor
from torch.nn.utils import parametrize
from tqdm import tqdm

from agetransformer import hub
from agetransformer.checkpoint import load_checkpoint
from agetransformer.files import written_whole
from agetransformer.networks import Generator, GeneratorConfig
from train.archives import Archive, open_image, read_labels
from train.data import held_out, to_unit
from train.expression import Expression, ExpressionJudge
from train.groups import generator_groups
from train.judges import AgeGenderJudge, IdentityJudge, JudgeError, Location
from train.measures import background_change, colour_change, face_oval, laplacian_variance, percentile, to_lab
from train.options import failing_in_a_sentence
from train.report import markdown
from train.sheet import save_sheet

SHEET_FACES = 10
DETAIL_FACES = 3
TABLE_AGE = 60  # the target of the paper's Table 1
FLAT = 1e-6  # beside a variance: a perfectly flat face has no sharpness to lose
YOUNG = (20, 44)  # the label of the faces edited there, in years: the paper's young group


@dataclass(frozen=True)
class Evaluation:
    """Everything that a run of this file depends on."""

    checkpoint: Path
    data: tuple[Path, ...]
    out: Path
    count: int = 100  # faces
    size: int = 512  # side of the judged pictures in pixels
    ages: tuple[int, ...] = (25, 35, 45, 55, 65)
    compare: dict[str, Path] = field(default_factory=dict)  # other methods: name -> folder of outputs
    bias_faces: int = 80  # real faces a target age for the age judge's bias
    bias_years: float = 3.0  # that far from the target age at most
    device: str = "auto"


@dataclass(frozen=True)
class LabelledFile:
    """A face in an archive."""

    archive: Archive  # one for all its faces
    name: str
    age: float
    gender: str

    def read(self, size: int) -> np.ndarray:
        """The image as [size, size, 3] uint8; ValueError if it is missing or broken."""
        return _square(open_image(self.archive.read(self.name), f"{self.archive.path}: {self.name}"), size)


@dataclass(frozen=True)
class Edit:
    """An edited face at the judged size, and at the network's own resolution."""

    image: np.ndarray  # [S, S, 3] uint8
    small: np.ndarray  # [r, r, 3] uint8


@dataclass(frozen=True)
class Judges:
    """The independent judges."""

    identity: IdentityJudge
    age_gender: AgeGenderJudge
    expression: ExpressionJudge | None = None  # None: MediaPipe is missing here


@dataclass(frozen=True)
class Measurement:
    """What is measured of one picture of one face, beside the unedited one."""

    age: float  # years
    gender: str
    sharpness: float  # variance of the Laplacian on the face: ratio to the unedited face's
    sharpness_small: float  # the same at the network's resolution
    variance_small: float  # that variance itself, of this picture
    background: float  # mean absolute difference outside the face, of 255
    colour: np.ndarray  # histogram of the changes of Lab a and b
    identity: float  # distance of the face descriptors
    descriptor: np.ndarray  # [128]
    expression: Expression | None = None  # None: not judged, or no face found


class Bias(NamedTuple):
    """How far the age judge is off on real faces of about one age, in years; and how sharp such faces are."""

    years: float  # mean of judged - labelled
    error: float  # standard error of that mean
    judged: float  # mean judged age of those faces
    faces: int
    sharpness: float  # geometric mean of the Laplacian's variance on them at network size, ratio to the edited photos'
    sharpness_error: float  # standard error of it


# One face's unedited image [S, S, 3] uint8 and name -> an edit for each age.
Editor = Callable[[np.ndarray, str], list[Edit]]


def list_faces(archives: Sequence[Path]) -> list[LabelledFile]:
    """Every labelled photo of a face in the archives, sorted by name: what `train.prepare` made up is left out.

    Raises:
        FileNotFoundError, ValueError: an archive is missing, broken, or without its labels, or a label is none.
    """
    faces = []
    for path in archives:
        rows = [row for row in read_labels(path) if row.cells.get("synthetic") != "1"]
        archive = Archive(path)
        faces += [LabelledFile(archive, row.cells["file"], row.label, row.cells["gender"]) for row in rows]
    return sorted(faces, key=lambda face: face.name)


def choose_held_out(faces: Sequence[LabelledFile], count: int) -> list[LabelledFile]:
    """The first `count` held-out faces.

    Raises:
        ValueError: there is none, or two are called the same, as results go by name.
    """
    unseen = held_out(tuple(face.name for face in faces)).tolist()
    tested = [face for face, kept in zip(faces, unseen, strict=True) if kept][:count]
    if not tested:
        raise ValueError(f"no held-out faces among the {len(faces)} photos of the data: please add some")
    stems = [Path(face.name).stem for face in tested]
    if repeated := [stem for stem in stems if stems.count(stem) > 1]:
        raise ValueError(f"two held-out faces are called {repeated[0]}, and results go by that name: rename one")
    return tested


def generator_editor(generator: Generator, ages: Sequence[int], device: torch.device) -> Editor:
    """Edits by the generator at its own resolution; at full size by the upsampled change."""
    generator = generator.to(device)

    @torch.inference_mode()
    def edit(image: np.ndarray, name: str) -> list[Edit]:
        x = to_unit(torch.from_numpy(image).permute(2, 0, 1)[None].to(device))
        x_r = _resize(x, generator.config.resolution).clamp(-1, 1)
        with parametrize.cached():  # the spectral norms once a face
            encoding = generator.encode(x_r)
            outputs = [generator.decode(encoding, torch.tensor([age], device=device)) for age in ages]
        return [Edit(_to_uint8(x + _resize(y - x_r, len(image))), _to_uint8(y)) for y in outputs]

    return edit


def folder_editor(folder: Path, ages: Sequence[int], resolution: int) -> Editor:
    """Edits that another method has written; see `output_path`."""

    def edit(image: np.ndarray, name: str) -> list[Edit]:
        edits = []
        for age in ages:
            with Image.open(output_path(folder, name, age)) as output:
                full = _square(output, len(image))
            edits.append(Edit(full, _shrink(full, resolution)))
        return edits

    return edit


def output_path(folder: Path, name: str, age: int) -> Path:
    """Another method's output for one face: <face>_age_<age>.png, .jpg or .webp; FileNotFoundError if it is missing."""
    stem = f"{Path(name).stem}_age_{age}"
    for ending in (".png", ".jpg", ".webp"):
        if (path := folder / (stem + ending)).is_file():
            return path
    raise FileNotFoundError(f"{folder}: no {stem}.png (or .jpg, .webp) here")


def locate_face(image: np.ndarray, resolution: int, judges: Judges) -> tuple[Location, np.ndarray, np.ndarray]:
    """Where the face of an image [S, S, 3] is, and its mask in it [S, S] and at the network's resolution."""
    location, size = judges.identity.locate(image), len(image)
    landmarks = location.landmarks if location.found else None
    small = None if landmarks is None else landmarks * (resolution / size)
    return location, face_oval(landmarks, size), face_oval(small, resolution)


def measure_face(edits: Sequence[Edit], judges: Judges) -> list[Measurement]:
    """Measure pictures of one face against the first, which is the unedited one (so its own row is neutral)."""
    original = edits[0]
    resolution = len(original.small)
    location, face, face_small = locate_face(original.image, resolution, judges)
    lab = to_lab(original.image)
    sharpness = laplacian_variance(original.image, face)
    sharpness_small = laplacian_variance(original.small, face_small)
    descriptors = judges.identity.describe([edit.image for edit in edits], location)
    measurements = []
    for edit, descriptor in zip(edits, descriptors, strict=True):
        verdict = judges.age_gender.judge(edit.image, location)
        variance_small = laplacian_variance(edit.small, face_small)
        measurements.append(
            Measurement(
                age=verdict.age,
                gender=verdict.gender,
                sharpness=_ratio(laplacian_variance(edit.image, face), sharpness),
                sharpness_small=_ratio(variance_small, sharpness_small),
                variance_small=variance_small,
                background=background_change(original.image, edit.image, face),
                colour=colour_change(lab, to_lab(edit.image)),
                identity=float(np.linalg.norm(descriptor - descriptors[0])),
                descriptor=descriptor,
                expression=None if judges.expression is None else judges.expression.judge(edit.image),
            )
        )
    return measurements


def measure_bias(
    faces: Sequence[LabelledFile],
    target: int,
    judges: Judges,
    settings: Evaluation,
    resolution: int,
    unedited: Sequence[Measurement],
) -> Bias | None:
    """Real faces labelled near the target age, at most `bias_faces`, against their labels and the faces evaluated.

    None below ten of them.
    """
    near = [face for face in faces if abs(face.age - target) <= settings.bias_years]
    chosen = near[:: max(1, len(near) // settings.bias_faces)][: settings.bias_faces]
    if len(chosen) < 10:
        return None
    judged, variances = [], []
    for face in chosen:
        image = face.read(settings.size)
        location, _, face_small = locate_face(image, resolution, judges)
        judged.append(judges.age_gender.judge(image, location).age)
        variances.append(laplacian_variance(_shrink(image, resolution), face_small))
    errors = np.array(judged) - [face.age for face in chosen]
    logarithms = np.log(np.array(variances) + FLAT)
    sharpness = np.exp(logarithms.mean() - np.log([m.variance_small + FLAT for m in unedited]).mean())

    def standard_error(values: np.ndarray) -> float:
        return float(values.std(ddof=1) / np.sqrt(len(values)))

    return Bias(
        years=float(errors.mean()),
        error=standard_error(errors),
        judged=float(np.mean(judged)),
        faces=len(chosen),
        sharpness=float(sharpness),
        sharpness_error=float(sharpness) * standard_error(logarithms),
    )


def summarise(
    measured: Sequence[Measurement], unedited: Sequence[Measurement], target: int | None, bias: float | None
) -> dict[str, float | None]:
    """One row of the table: the means over all faces (both sequences in the same order of faces).

    Ages and errors are years, shares are 0..1; entries that do not apply are None.
    """
    ages = np.array([m.age for m in measured])
    before = np.array([m.age for m in unedited])
    kept = np.array([m.gender == u.gender for m, u in zip(measured, unedited, strict=True)])
    female = np.array([u.gender == "female" for u in unedited])
    row: dict[str, float | None] = {
        "target": target,
        "age_mean": ages.mean(),
        "age_sd": ages.std(),
        "age_error": None if target is None else np.abs(ages - target).mean(),
        "age_error_unedited": None if target is None else np.abs(before - target).mean(),
        "judge_bias": bias,
        "age_mean_corrected": None if bias is None else (ages - bias).mean(),
        "age_error_corrected": None if bias is None else np.abs(ages - bias - target).mean(),
        "gender_kept": kept.mean(),
        "gender_kept_female": kept[female].mean() if female.any() else None,
        "gender_kept_male": kept[~female].mean() if not female.all() else None,
        "sharpness": _geometric_mean([m.sharpness for m in measured]),  # of ratios, as `measure_bias` has it
        "sharpness_network": _geometric_mean([m.sharpness_small for m in measured]),
        "background": np.mean([m.background for m in measured]),
        "colour_p99": np.mean([percentile(m.colour, 99) for m in measured]),
        "colour_p99_pooled": percentile(np.sum([m.colour for m in measured], axis=0), 99),
        "identity": np.mean([m.identity for m in measured]),
        **_expressions_kept(measured, unedited),
    }
    return {key: None if value is None else round(float(value), 4) for key, value in row.items()}


def _expressions_kept(measured: Sequence[Measurement], unedited: Sequence[Measurement]) -> dict[str, float | None]:
    """Mean smile, and shares 0..1: smiling or not as before; of the neutral (happy) faces, those that still are.

    A face that is not found any more has kept nothing; one that was not found before does not count.
    """
    pairs = [(m.expression, u.expression) for m, u in zip(measured, unedited, strict=True) if u.expression is not None]
    smiles = [now.smile for now, _ in pairs if now is not None]

    def kept(emotion: str) -> float | None:
        still = [now is not None and now.emotion == emotion for now, before in pairs if before.emotion == emotion]
        return np.mean(still) if still else None

    def smile_kept() -> float | None:
        same = [now is not None and now.smiling == before.smiling for now, before in pairs]
        return np.mean(same) if same else None

    return {
        "smile": np.mean(smiles) if smiles else None,
        "smile_kept": smile_kept(),
        "neutral_kept": kept("neutral"),
        "happiness_kept": kept("happiness"),
    }


def monotonicity(ages: np.ndarray) -> tuple[list[float], float]:
    """Judged ages [faces, targets], targets rising -> share of faces that rise at each step; share that always do."""
    rises = np.diff(ages, axis=1) > 0
    return rises.mean(axis=0).round(4).tolist(), round(float(rises.all(axis=1).mean()), 4)


def rank_correlation(ages: np.ndarray) -> float | None:
    """Mean over faces of Spearman's correlation of judged ages [faces, targets] with the rising targets.

    A face that is judged the same at every target counts as 0; None for a single target.
    """
    if ages.shape[1] < 2:
        return None
    ranks = rankdata(ages, axis=1) - (ages.shape[1] + 1) / 2
    targets = np.arange(ages.shape[1]) - (ages.shape[1] - 1) / 2
    norms = np.linalg.norm(ranks, axis=1) * np.linalg.norm(targets)
    return round(float(np.mean(ranks @ targets / np.where(norms == 0, 1, norms))), 4)


def stranger_distance(descriptors: np.ndarray) -> float | None:
    """Mean distance between two different faces, over all pairs of descriptors [N, 128]; None for a single face."""
    return round(float(pdist(descriptors).mean()), 4) if len(descriptors) > 1 else None


def evaluate(settings: Evaluation) -> dict:
    """Run the whole evaluation, write its files to `settings.out`, and return what metrics.json holds."""
    ages = tuple(sorted(settings.ages))
    generator = load_checkpoint(Generator, GeneratorConfig, settings.checkpoint)
    resolution = generator.config.resolution
    gpu = torch.cuda.is_available()
    device = settings.device if settings.device != "auto" else "cuda" if gpu else "cpu"
    if device.startswith("cuda") and not gpu:
        raise ValueError("PyTorch sees no GPU here; take --device cpu")
    faces = list_faces(settings.data)
    tested = choose_held_out(faces, settings.count)
    asked = tuple(sorted({*ages, TABLE_AGE}))
    edited_ages = {settings.checkpoint.name: asked}  # of each method
    editors = {settings.checkpoint.name: generator_editor(generator, asked, torch.device(device))}
    for name, folder in settings.compare.items():
        if name in editors:
            raise ValueError(f"two methods are called {name}; rename the one under --compare")
        edited_ages[name] = asked if _has_output(folder, tested[0].name, TABLE_AGE) else ages
        for face in tested:
            for age in edited_ages[name]:
                output_path(folder, face.name, age)  # before the first step, not after an hour
        editors[name] = folder_editor(folder, edited_ages[name], resolution)
    expression, expression_missing = _open_expression_judge()
    judges = Judges(IdentityJudge(), AgeGenderJudge(), expression)

    settings.out.mkdir(parents=True, exist_ok=True)
    unedited: list[Measurement] = []
    measured: dict[str, list[dict[int, Measurement]]] = {name: [] for name in editors}  # per face, by age
    sheet: list[list[np.ndarray]] = []
    for face in tqdm(tested, desc="faces"):
        image = face.read(settings.size)
        do_nothing = Edit(image, _shrink(image, resolution))
        edits = {name: editor(image, face.name) for name, editor in editors.items()}
        first, *others = measure_face([do_nothing, *(edit for every in edits.values() for edit in every)], judges)
        unedited.append(first)
        remaining = iter(others)
        for name in editors:
            measured[name].append({age: next(remaining) for age in edited_ages[name]})
        if len(sheet) < SHEET_FACES:
            by_age = dict(zip(asked, edits[settings.checkpoint.name], strict=True))
            sheet.append([image, *(by_age[age].image for age in ages)])
    if expression is not None:
        expression.close()
    biases = {
        age: measure_bias(faces, age, judges, settings, resolution, unedited)
        for age in tqdm(asked, desc="judge's bias")
    }
    offsets = {age: None if bias is None else bias.years for age, bias in biases.items()}

    result = {
        "checkpoint": settings.checkpoint.name,
        "sha256": hub.resolve(settings.checkpoint).sha256,
        "resolution": resolution,
        "size": settings.size,
        "asked": settings.count,
        "faces": len(tested),
        "ages": list(ages),
        "stranger": stranger_distance(np.array([m.descriptor for m in unedited])),
        "judge_error": round(float(np.mean([abs(m.age - f.age) for m, f in zip(unedited, tested, strict=True)])), 4),
        "judge_gender_agrees": round(
            float(np.mean([m.gender == f.gender for m, f in zip(unedited, tested, strict=True)])), 4
        ),
        "expression_missing": expression_missing,
        "judge_bias": {
            str(age): None if bias is None else {k: round(v, 4) for k, v in bias._asdict().items()}
            for age, bias in biases.items()
        },
        "do_nothing": summarise(unedited, unedited, None, None),
        "methods": {},
        "table": _paper_table(tested, unedited, measured, offsets[TABLE_AGE]),
    }
    for name, rows in measured.items():
        judged = np.array([[row[age].age for age in ages] for row in rows])
        steps, always = monotonicity(judged)
        table = [summarise([row[age] for row in rows], unedited, age, offsets[age]) for age in ages]
        for row, rises in zip(table, [None, *steps], strict=True):
            row["rises"] = rises
        by_target = {age: [row[age] for row in rows] for age in ages}
        result["methods"][name] = {
            "always_rises": always,
            "spearman": rank_correlation(judged),
            "rows": table,
            "groups": generator_groups([f.age for f in tested], [f.gender for f in tested], unedited, by_target),
        }
    for name, text in (("metrics.json", json.dumps(result, indent=2) + "\n"), ("metrics.md", markdown(result))):
        with written_whole(settings.out / name) as aside:
            aside.write_text(text)
    captions = ["input", *map(str, ages)]
    save_sheet(settings.out / "sheet.png", sheet, captions, 256)
    save_sheet(settings.out / "sheet_detail.png", sheet[:DETAIL_FACES], captions, settings.size)
    return result


def _paper_table(
    tested: Sequence[LabelledFile],
    unedited: Sequence[Measurement],
    measured: dict[str, list[dict[int, Measurement]]],
    bias: float | None,
) -> dict[str, dict]:
    """The rows of the paper's Table 1: young faces, and all, edited to 60 by each method that did."""
    young = [YOUNG[0] <= face.age <= YOUNG[1] for face in tested]
    table = {}
    for group, chosen in (("young", young), ("all", [True] * len(tested))):
        if not any(chosen):
            continue
        before = [m for m, use in zip(unedited, chosen, strict=True) if use]
        rows = {"do nothing": summarise(before, before, None, None)}
        for name, faces in measured.items():
            if TABLE_AGE in faces[0]:
                edited = [face[TABLE_AGE] for face, use in zip(faces, chosen, strict=True) if use]
                rows[name] = summarise(edited, before, TABLE_AGE, bias)
        table[group] = {"faces": len(before), "rows": rows}
    return table


def _has_output(folder: Path, name: str, age: int) -> bool:
    try:
        return output_path(folder, name, age).is_file()
    except FileNotFoundError:
        return False


def _open_expression_judge() -> tuple[ExpressionJudge | None, str | None]:
    """The judge, or None and the sentence that says why."""
    try:
        return ExpressionJudge(), None
    except JudgeError as error:
        return None, f"Smile and emotion are left out: {error}."


def _square(image: Image.Image, size: int) -> np.ndarray:
    image = image.convert("RGB")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return np.array(image)


def _resize(x: Tensor, size: int) -> Tensor:
    """[N, C, S, S] -> [N, C, size, size], bicubic, antialiased where it shrinks."""
    if x.shape[-1] == size:
        return x
    return F.interpolate(x, (size, size), mode="bicubic", align_corners=False, antialias=x.shape[-1] > size)


def _shrink(image: np.ndarray, size: int) -> np.ndarray:
    return _to_uint8(_resize(to_unit(torch.from_numpy(image).permute(2, 0, 1)[None]), size))


def _to_uint8(x: Tensor) -> np.ndarray:
    """[1, 3, H, W] in [-1, 1] -> [H, W, 3] uint8."""
    return ((x[0].clamp(-1, 1) + 1) * 127.5).round().byte().permute(1, 2, 0).cpu().numpy()


def _geometric_mean(ratios: Sequence[float]) -> float:
    return float(np.exp(np.log(ratios).mean()))


def _ratio(value: float, reference: float) -> float:
    return (value + FLAT) / (reference + FLAT)


def _named_folder(text: str) -> tuple[str, Path]:
    name, found, folder = text.partition("=")
    if not (name and found and Path(folder).is_dir()):
        raise argparse.ArgumentTypeError(f"expected NAME=FOLDER with an existing folder, found '{text}'")
    return name, Path(folder)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="generator folder")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="zips of FFHQ-aligned faces + labels.csv")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--count", type=int, default=Evaluation.count, help="faces (default: %(default)s)")
    parser.add_argument("--size", type=int, default=Evaluation.size, help="side of the pictures (default: %(default)s)")
    parser.add_argument("--ages", type=int, nargs="+", default=Evaluation.ages, help="target ages")
    parser.add_argument("--compare", type=_named_folder, nargs="+", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--device", default=Evaluation.device, help="auto, cpu or cuda (default: %(default)s)")
    given = parser.parse_args()
    settings = Evaluation(
        checkpoint=given.checkpoint,
        data=tuple(given.data),
        out=given.out,
        count=given.count,
        size=given.size,
        ages=tuple(given.ages),
        compare=dict(given.compare),
        device=given.device,
    )
    if len(dict(given.compare)) < len(given.compare):
        parser.error("--compare: two methods have the same name")
    if len(set(given.ages)) < len(given.ages):
        parser.error("--ages: one is there twice")
    if given.count < 1 or given.size < 64 or any(not 0 <= age <= 100 for age in given.ages):
        parser.error("--count is at least 1, --size at least 64, and ages are within 0..100")
    with failing_in_a_sentence("train.evaluate"):
        evaluate(settings)
    print((settings.out / "metrics.md").read_text())


if __name__ == "__main__":
    main()
