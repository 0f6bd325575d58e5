"""Model cards and the README's results, written from measurements so that they cannot go stale by hand.

python -m train.card --checkpoint checkpoints/generator --metrics runs/evaluation/metrics.json

Writes the checkpoint's README.md from the template in train/cards, its metrics.json, its config, and its notes.yaml,
which says what no measurement knows. --metrics is copied beside the weights first. For checkpoints/generator it writes
the results into the README.md of the repository too, between its two comments.
"""

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from string import Template

from agetransformer import hub
from agetransformer.checkpoint import CheckpointError
from train.config import load_config
from train.groups import FEW, classifier_table, generator_table
from train.report import GROUPS, markdown, results_table

ROOT = Path(__file__).parent.parent
METRICS, NOTES = "metrics.json", "notes.yaml"
OUTPUTS = {(False, False): "direct", (True, False): "residual", (True, True): "shaded residual"}
RESULTS_BEGIN, RESULTS_END = "<!-- results: written by train.card -->", "<!-- end of the results -->"


class CardError(ValueError):
    """A card cannot be written truthfully; the message says what to do."""


@dataclass
class Notes:
    """What a person says of the weights, in notes.yaml beside them."""

    sha256: str = ""  # of the weights that this was written about
    training: str = ""  # how they were trained: images, resolution, config
    data: str = ""  # what they were trained on
    seen: str = ""  # what the eye sees, as the end of a sentence or whole ones


def render_card(folder: Path) -> str:
    """The model card of a checkpoint folder.

    Raises:
        CardError, CheckpointError: something is missing, or is about other weights than those in the folder.
    """
    checkpoint = hub.resolve(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    values = _facts(folder, checkpoint.sha256) | {"resolution": config["resolution"]}
    metrics = _metrics(folder, checkpoint.sha256)
    if config["model"] == "Generator":
        values |= {
            "output": OUTPUTS[config["residual"], config.get("shading", False)],
            "code": f"a Gaussian age code (sigma {config['age_sigma']:g} years)"
            if config["age_sigma"]
            else "one-hot ages",
            "report": markdown(metrics, groups=False).strip(),
            "groups": f"{generator_table(_shipped(metrics)['groups'])}\n{GROUPS}",
        }
        template = "generator.md"
    elif config["model"] == "AgeClassifier":
        values |= {
            "name": folder.resolve().name,
            "title": "Robust age classifier V" if "robust" in folder.resolve().name else "Age classifier V",
            "archives": _archives(metrics).strip(),
            "guess": f"{metrics['all']['mae_guess']:.1f}",
            "few": FEW,
            "radius": f"{metrics['attacked']['radius']:g}",
            "steps": metrics["attacked"]["steps"],
            "attacked_images": metrics["attacked"]["images"],
            "attacked": f"{metrics['attacked']['mae']:.1f}",
            "clean": f"{metrics['attacked']['mae_clean']:.1f}",
            "groups": classifier_table(metrics["groups"]).strip(),
        }
        template = "classifier.md"
    else:
        raise CardError(f"{folder}: there is no card for a {config['model']}")
    text = (Path(__file__).parent / "cards" / template).read_text(encoding="utf-8")
    return Template(text).substitute(values)


def render_readme(readme: str, folder: Path) -> str:
    """The README's text with the results of the generator in `folder` between the two comments.

    Raises:
        CardError, CheckpointError: see `render_card`; or the comments are missing.
    """
    sha256 = hub.resolve(folder).sha256
    begin, found_begin, rest = readme.partition(RESULTS_BEGIN)
    _, found_end, end = rest.partition(RESULTS_END)
    if not (found_begin and found_end):
        raise CardError(f"the README has no lines {RESULTS_BEGIN} and {RESULTS_END} around its results")
    results = f"{results_table(_metrics(folder, sha256))}\nTo the eye, at 1:1: {_facts(folder, sha256)['seen']}\n"
    return f"{begin}{RESULTS_BEGIN}\n\n{results}\n{RESULTS_END}{end}"


def write_cards(folder: Path, metrics: Path | None = None, readme: Path | None = None) -> list[Path]:
    """Write the card of a checkpoint folder, and the results into a README; returns what was written.

    Args:
        metrics: taken into the folder first; None: those that are there.
    Raises:
        CardError, CheckpointError: see `render_card`; nothing but the folder's metrics.json is written then.
    """
    if metrics is not None and metrics.resolve() != (folder / METRICS).resolve():
        _check_weights(metrics, hub.resolve(folder).sha256)
        shutil.copyfile(metrics, folder / METRICS)
    texts = {folder / hub.CARD_NAME: render_card(folder)}
    if readme is not None:
        texts[readme] = render_readme(readme.read_text(encoding="utf-8"), folder)
    for path, text in texts.items():
        path.write_text(text, encoding="utf-8")
    return list(texts)


def _facts(folder: Path, sha256: str) -> dict[str, str]:
    """What the template takes from the weights' file and from the notes about them."""
    path = folder / NOTES
    if not path.is_file():
        raise CardError(f"{path} is missing: write what sha256, training, data and seen are, as another checkpoint's")
    notes = load_config(Notes, path)
    if notes.sha256 != sha256:
        raise CardError(f"{path} is about other weights: read its sentences again, then set its sha256 to '{sha256}'")
    size = (folder / hub.WEIGHTS_NAME).stat().st_size
    told = {name: " ".join(getattr(notes, name).split()) for name in ("training", "data", "seen")}
    return {"bytes": f"{size:,}", "sha256": sha256, **told}


def _metrics(folder: Path, sha256: str) -> dict:
    path = folder / METRICS
    if not path.is_file():
        raise CardError(
            f"{path} is missing: measure these weights first (train.evaluate, or train.classifier --measure)"
        )
    _check_weights(path, sha256)
    return json.loads(path.read_text(encoding="utf-8"))


def _check_weights(metrics: Path, sha256: str) -> None:
    measured = json.loads(metrics.read_text(encoding="utf-8")).get("sha256")
    if measured != sha256:
        raise CardError(f"{metrics} was measured on other weights ({measured}, not {sha256}): measure these first")


def _shipped(metrics: dict) -> dict:
    return metrics["methods"][metrics["checkpoint"]]


def _archives(metrics: dict) -> str:
    """One row an archive, then all of them."""
    lines = [
        "| held-out 5 % of | images | mean absolute error | at 20-69 | guessing the mean | gender right (from 18 on) |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in (*metrics["archives"].items(), ("all", metrics["all"])):
        errors = " | ".join(f"{row[key]:.2f}" for key in ("mae", "mae_20_69", "mae_guess"))
        lines.append(f"| {name} | {row['images']} | {errors} | {100 * row['gender_accuracy']:.1f} % |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder of a generator or an age classifier")
    parser.add_argument("--metrics", type=Path, help="its metrics.json (default: the one in the folder)")
    parser.add_argument(
        "--readme", type=Path, help="a README.md for the results (default: the repository's, for its own)"
    )
    given = parser.parse_args()
    own = given.checkpoint.resolve() == hub.GENERATOR_FOLDER.resolve()
    try:
        written = write_cards(given.checkpoint, given.metrics, given.readme or (ROOT / "README.md" if own else None))
    except (CardError, CheckpointError, OSError, KeyError, ValueError) as error:
        raise SystemExit(f"train.card: {error}") from error
    print(*written, sep="\n")


if __name__ == "__main__":
    main()
