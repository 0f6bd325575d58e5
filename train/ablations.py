"""Train and judge the ablations of the paper's Figure 7 and more, one after the other: a table and a sheet.

python -m train.ablations --out runs/ablations [--minutes 60] [--only single pair]

Each is a file of train/configs/ablations and becomes a run below --out: the D of the method (single), by projection on
age groups, two by age (pair); the paper's direct output; and the smile, another attribute by the same loop, whose V is
trained first. The same command goes on after a kill or after --minutes; what is complete is not repeated. Writes
ablations.md and ablations.png of what there is.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from agetransformer import hub
from agetransformer.checkpoint import load_checkpoint
from agetransformer.files import written_whole
from agetransformer.networks import Generator, GeneratorConfig
from train.attributes import find_attribute
from train.classifier import ClassifierTraining, train_classifier
from train.config import load_config
from train.data import held_out
from train.evaluate import Evaluation, LabelledFile, evaluate, generator_editor, list_faces
from train.expression import ExpressionJudge
from train.generator import GeneratorTraining, train_generator
from train.judges import JudgeError
from train.options import failing_in_a_sentence
from train.sheet import save_sheet
from train.state import find_state
from train.tables import markdown_table

CONFIGS = Path(__file__).parent / "configs" / "ablations"
RUNS = ("single", "projection", "pair", "direct", "smile")
SMILE_CLASSIFIER = "smile-classifier"
SHEET_AGES = (25, 65)
SHEET_FACES = 8
SHEET_SIZE = 192


@dataclass(frozen=True)
class Ablations:
    """Everything that a run of this file depends on."""

    out: Path
    only: tuple[str, ...] = RUNS
    minutes: float = float("inf")  # of training, all runs together
    images: int | None = None  # so many a phase (and for the smile's V) instead of the configs': for a trial
    count: int = 24  # faces that each is judged on, two or more: the table says how far strangers are from one another
    data: tuple[str, ...] = ()  # archives; empty: the configs'
    device: str = "cpu"
    cache: str = ".cache"


def run_ablations(settings: Ablations) -> list[str]:
    """Train and judge what is not complete yet, write the table and the sheet; the names of the complete runs.

    Raises:
        ValueError: the runs in `out` have another length (`images`) or other data; or `count` is 1.
    """
    if settings.count < 2:
        raise ValueError("count: two faces or more, whose distance from one another the table names")
    _require_same_runs(settings)
    deadline = time.monotonic() + 60 * settings.minutes
    configs = {name: _shorten(load_config(GeneratorTraining, CONFIGS / f"{name}.yaml"), settings) for name in RUNS}
    for name in settings.only:
        config = configs[name]
        if config.attribute != "age":
            configs[name] = config = replace(config, classifier=str(settings.out / SMILE_CLASSIFIER))
            if not _train_smile_classifier(settings, (deadline - time.monotonic()) / 60):
                deadline = time.monotonic()
                continue
        left = (deadline - time.monotonic()) / 60
        if not is_complete(config, settings.out / name) and left > 0:
            out = settings.out / name
            train_generator(config, out, left, find_state(out) is not None, settings.device, settings.cache)
            if not is_complete(
                config, out
            ):  # its time was up, or a signal came: the runs after it have none left either
                deadline = time.monotonic()
    complete = [name for name in RUNS if is_complete(configs[name], settings.out / name)]
    results = {name: _judge(configs[name], settings.out / name, settings) for name in complete}
    if complete:
        (settings.out / "ablations.md").write_text(write_tables(results))
    aged = [name for name in complete if configs[name].attribute == "age"]
    if aged:
        faces = _held_out_faces(configs[aged[0]].data)[:SHEET_FACES]
        _save_comparison(settings.out, aged, faces)
    return complete


def _require_same_runs(settings: Ablations) -> None:
    """A trial's weights must not count as the beginning of the real runs, nor the other way round; nor other data's."""
    kept = settings.out / "length.json"
    given = {"images": settings.images, "data": list(settings.data)}
    known = json.loads(kept.read_text()) if kept.is_file() else {}  # without "data" in runs of before
    begun = (*settings.out.glob("*/state-*"), *settings.out.glob("*/metrics.json"))  # the latter of a whole V
    if begun and given | known != given:
        was = "no --images" if known["images"] is None else f"--images {known['images']}"
        if "data" in known:
            was += f" and --data {' '.join(known['data'])}" if known["data"] else " and no --data"
        raise ValueError(f"the runs in {settings.out} were begun with {was}: give the same, or name another --out")
    settings.out.mkdir(parents=True, exist_ok=True)
    with written_whole(kept) as aside:
        aside.write_text(json.dumps(given) + "\n")


def is_complete(config: GeneratorTraining, out: Path) -> bool:
    """Whether the run in `out` has seen all its images and left its generator."""
    state = find_state(out)
    if state is None or not (out / "generator" / "model.safetensors").is_file():
        return False
    seen = json.loads((state / "progress.json").read_text())["images"]
    return seen >= sum(phase.images for phase in config.phases)


def write_tables(results: Mapping[str, dict]) -> str:
    """What `train.evaluate` measured of each run -> Markdown: the ageing ones in one table, the smile in another."""
    aged = {name: result for name, result in results.items() if name != "smile"}
    text = ""
    if aged:
        first = next(iter(aged.values()))
        stranger = "unknown" if first["stranger"] is None else f"{first['stranger']:.2f}"  # of a single face
        text += (
            f"{first['faces']} held-out faces, the columns of `train.evaluate`; gender and smile kept: at the worst of "
            f"{', '.join(map(str, first['ages']))}; a stranger's identity distance is {stranger}.\n\n"
        )
        headings = (
            "run", "judged at 25", "judged at 65", "Spearman", "gender kept", "smile kept", "identity at 65",
            "background at 65", "colour at 65", "sharpness at 65",
        )  # fmt: skip
        nothing = first["do_nothing"]["age_mean"]
        rows = [
            ["do nothing", f"{nothing:.1f}", f"{nothing:.1f}", "-", "100 %", "100 %", "0.00", "0.00", "0.0", "1.00"]
        ]
        text += markdown_table(headings, rows + [_ageing_row(name, result) for name, result in aged.items()])
    if "smile" in results:
        result = results["smile"]
        (method,) = result["methods"].values()
        pictures = {"unedited": result["do_nothing"]} | dict(
            zip(("target 0", "target 100"), method["rows"], strict=True)
        )
        rows = [
            [
                name,
                "-" if row["smile"] is None else f"{row['smile']:.2f}",
                f"{row['age_mean']:.1f}",
                f"{100 * row['gender_kept']:.0f} %",
                f"{row['identity']:.2f}",
                f"{row['background']:.2f}",
            ]
            for name, row in pictures.items()
        ]
        text += f"\nThe smile on {result['faces']} held-out faces (mean smile by MediaPipe, 0..1):\n\n"
        text += markdown_table(("smile", "mean smile", "judged age", "gender kept", "identity", "background"), rows)
    return text


def _ageing_row(name: str, result: dict) -> list[str]:
    (method,) = result["methods"].values()
    young, *_, old = rows = method["rows"]
    smiles = [row["smile_kept"] for row in rows if row["smile_kept"] is not None]
    return [
        name,
        f"{young['age_mean']:.1f} ± {young['age_sd']:.1f}",
        f"{old['age_mean']:.1f} ± {old['age_sd']:.1f}",
        f"{method['spearman']:.2f}",
        f"{100 * min(row['gender_kept'] for row in rows):.0f} %",
        f"{100 * min(smiles):.0f} %" if smiles else "-",
        f"{old['identity']:.2f}",
        f"{old['background']:.2f}",
        f"{old['colour_p99']:.1f}",
        f"{old['sharpness_network']:.2f}",
    ]


def _shorten(config: GeneratorTraining, settings: Ablations) -> GeneratorTraining:
    if settings.data:
        config = replace(config, data=settings.data)
    if settings.images is None:
        return config
    return replace(config, phases=tuple(replace(phase, images=settings.images) for phase in config.phases))


def _train_smile_classifier(settings: Ablations, minutes: float) -> bool:
    """Some minutes, from its newest state if there is one; whether it is complete, which leaves no state."""
    out = settings.out / SMILE_CLASSIFIER
    if (out / "metrics.json").is_file() and find_state(out) is None:
        return True
    if minutes <= 0:
        return False
    config = load_config(ClassifierTraining, CONFIGS / f"{SMILE_CLASSIFIER}.yaml")
    if settings.data:
        config = replace(config, data=settings.data)
    if settings.images is not None:
        config = replace(config, images=max(settings.images, config.batch))
    resume = find_state(out) is not None
    print(json.dumps(train_classifier(config, out, minutes, resume, settings.device, settings.cache)))
    return find_state(out) is None


def _judge(config: GeneratorTraining, run: Path, settings: Ablations) -> dict:
    """The run's measurements, made once for `count` faces."""
    stored = run / "evaluation" / "metrics.json"
    if stored.is_file():
        result = json.loads(stored.read_text())
        same = result.get("asked") == settings.count and result["sha256"] == hub.resolve(run / "generator").sha256
        if same and not _expressions_can_be_added(result):
            return result
    ages = find_attribute(config.attribute).samples
    data = tuple(Path(path) for path in config.data)
    # The tables do without the judge's bias, which is the same for all: few faces for it.
    wanted = Evaluation(
        run / "generator", data, stored.parent, settings.count, ages=ages, bias_faces=20, device=settings.device
    )
    return evaluate(wanted)


def _expressions_can_be_added(result: dict) -> bool:
    """Whether it was judged without MediaPipe, which is there now."""
    if result.get("expression_missing") is None:
        return False
    try:
        ExpressionJudge().close()
    except JudgeError:
        return False
    return True


def _held_out_faces(data: Sequence[str]) -> list[LabelledFile]:
    faces = list_faces([Path(path) for path in data])
    unseen = held_out(tuple(face.name for face in faces)).tolist()
    return [face for face, kept in zip(faces, unseen, strict=True) if kept]


def _save_comparison(out: Path, names: Sequence[str], faces: Sequence[LabelledFile]) -> None:
    """ablations.png: a row a face, the input and then each run at the youngest and the oldest age."""
    editors = [
        generator_editor(
            load_checkpoint(Generator, GeneratorConfig, out / name / "generator"), SHEET_AGES, torch.device("cpu")
        )
        for name in names
    ]
    rows: list[list[np.ndarray]] = []
    for face in faces:
        image = face.read(Evaluation.size)
        rows.append([image, *(edit.image for editor in editors for edit in editor(image, face.name))])
    captions = ["input", *(f"{name} {age}" for name in names for age in SHEET_AGES)]
    save_sheet(out / "ablations.png", rows, captions, SHEET_SIZE)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--out", type=Path, required=True, help="folder for the runs, the table and the sheet")
    add("--only", nargs="+", choices=RUNS, default=RUNS, metavar="NAME", help=f"some of {', '.join(RUNS)}")
    add("--minutes", type=float, default=Ablations.minutes, help="stop training, saved, after this wall time")
    add("--images", type=int, help="so many a phase, instead of the configs': for a trial")
    add("--count", type=int, default=Ablations.count, help="faces that each is judged on (default: %(default)s)")
    add("--data", nargs="+", default=(), help="archives, instead of the configs'")
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--cache", default=Ablations.cache, help="folder for decoded data (default: %(default)s)")
    given = parser.parse_args()
    if given.count < 2:
        parser.error("--count is at least 2")
    settings = Ablations(
        given.out, tuple(given.only), given.minutes, given.images, given.count, tuple(given.data), given.device,
        given.cache,
    )  # fmt: skip
    with failing_in_a_sentence("train.ablations"):
        complete = run_ablations(settings)
    missing = [name for name in RUNS if name not in complete]
    print((given.out / "ablations.md").read_text() if complete else "")
    if missing:
        print(f"not complete yet: {', '.join(missing)}; the same command goes on")


if __name__ == "__main__":
    main()
