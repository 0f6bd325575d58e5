"""The ablations: what their configs differ in, and that the command goes on where it stopped."""

import json
from dataclasses import replace

import pytest
import torch
import yaml
from PIL import Image

from agetransformer import hub
from agetransformer.checkpoint import save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.hub import save_pretrained
from agetransformer.networks import Generator, GeneratorConfig

pytest.importorskip("scipy", reason="measuring needs requirements-train.txt")

from train import ablations
from train.ablations import CONFIGS, RUNS, Ablations, run_ablations, write_tables
from train.attributes import find_attribute
from train.classifier import ClassifierTraining
from train.config import load_config
from train.discriminators import DISCRIMINATORS
from train.generator import GeneratorTraining
from train.judges import JudgeError


def load(name: str) -> GeneratorTraining:
    return load_config(GeneratorTraining, CONFIGS / f"{name}.yaml")


@pytest.mark.parametrize(
    ("name", "difference"),
    [
        ("projection", {"discriminator": "projection"}),
        ("pair", {"discriminator": "pair"}),
        ("direct", {"model": replace(load("single").model, residual=False)}),
    ],
)
def test_each_differs_from_the_reference_in_one_setting(name, difference):
    assert load(name) == replace(load("single"), **difference)


def test_configs_are_complete_and_small():
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {*RUNS, "smile-classifier"}
    for name in RUNS:
        config = load(name)
        assert config.discriminator in DISCRIMINATORS and find_attribute(config.attribute)
        assert sum(phase.images for phase in config.phases) == 1200
        assert {phase.resolution for phase in config.phases} == {128}
    smile = load_config(ClassifierTraining, CONFIGS / "smile-classifier.yaml")
    assert smile.attribute == load("smile").attribute == "smile" and not smile.model.gender


def test_the_smiles_classifier_goes_on_after_a_kill(tmp_path, monkeypatch):
    """The state that the kill left is what it goes on from, rather than a refusal; no minutes, no training."""
    started = []

    def train_classifier(config, out, minutes, resume, device, cache):
        started.append((resume, 0 < minutes <= 5))
        out.mkdir(parents=True, exist_ok=True)
        (out / "metrics.json").write_text("{}")  # written by a run that its minutes end, too
        if not resume:
            (out / "state-00000100").mkdir()
        else:
            (out / "state-00000100").rmdir()  # complete

    monkeypatch.setattr(ablations, "train_classifier", train_classifier)
    monkeypatch.setattr(ablations, "train_generator", lambda *given: started.append("generator"))
    settings = Ablations(tmp_path, ("smile",), minutes=5)
    run_ablations(replace(settings, minutes=0))
    assert started == []
    run_ablations(settings)
    assert started == [(False, True)]
    run_ablations(settings)
    run_ablations(settings)
    assert started == [(False, True), (True, True), "generator", "generator"]


def test_a_run_that_a_signal_stops_is_the_last(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(ablations, "train_generator", lambda config, out, *given: started.append(out.name))
    run_ablations(Ablations(tmp_path, ("single", "projection"), minutes=5))
    assert started == ["single"]  # it came back without having seen all its images


def row(age: float, **changes) -> dict:
    values = dict.fromkeys(("gender_kept", "smile_kept", "sharpness_network"), 1.0)
    values |= {"age_mean": age, "age_sd": 5.0, "identity": 0.3, "background": 0.5, "colour_p99": 4.0, "smile": 0.6}
    return values | changes


def measured(*rows: dict) -> dict:
    method = {"spearman": 0.9, "rows": list(rows)}
    return {
        "faces": 24, "ages": [25, 45, 65], "stranger": 0.83, "do_nothing": row(40.0), "methods": {"generator": method},
    }  # fmt: skip


def test_tables_take_the_worst_age_and_leave_the_smile_apart():
    aged = measured(row(28.0), row(45.0, gender_kept=0.9), row(62.0, smile_kept=0.8))
    smile = measured(row(40.0, smile=0.2), row(40.0, smile=0.8))
    text = write_tables({"single": aged, "smile": smile})
    assert "| single | 28.0 ± 5.0 | 62.0 ± 5.0 | 0.90 | 90 % | 80 % | 0.30 | 0.50 | 4.0 | 1.00 |" in text
    assert "| target 0 | 0.20 | 40.0 |" in text and "| target 100 | 0.80 | 40.0 |" in text
    unjudged = measured(*[row(30.0, smile_kept=None)] * 3)
    assert "| 100 % | - | 0.30 |" in write_tables({"single": unjudged})
    alone = aged | {"stranger": None}
    assert "a stranger's identity distance is unknown" in write_tables({"single": alone})


def test_a_single_face_is_refused_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(ablations, "train_generator", lambda *given: 1 / 0)
    with pytest.raises(ValueError, match="count: two faces or more"):
        run_ablations(Ablations(tmp_path, ("single",), count=1))


def test_runs_of_other_data_are_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(ablations, "train_generator", lambda config, out, *given: (out / "state-1").mkdir(parents=True))
    monkeypatch.setattr(ablations, "is_complete", lambda config, out: False)
    settings = Ablations(tmp_path, ("single",), data=("a.zip", "b.zip"))
    run_ablations(settings)
    with pytest.raises(ValueError, match=r"were begun with no --images and --data a\.zip b\.zip: give the same"):
        run_ablations(replace(settings, data=("a.zip",)))
    (tmp_path / "length.json").write_text('{"images": null}')  # as it once was
    assert run_ablations(replace(settings, minutes=0)) == []


def test_a_run_that_was_judged_without_mediapipe_is_judged_again_when_it_is_there(tmp_path, monkeypatch):
    weights = save_pretrained(Generator(GeneratorConfig(resolution=64)), tmp_path / "generator", "# G\n")
    (tmp_path / "evaluation").mkdir()
    known = {"asked": 24, "sha256": hub.resolve(weights).sha256, "expression_missing": "Smile is left out."}
    (tmp_path / "evaluation" / "metrics.json").write_text(json.dumps(known))
    monkeypatch.setattr(ablations, "evaluate", lambda wanted: "judged again")
    config, settings = load("single"), Ablations(tmp_path)

    class Judge:
        def close(self) -> None:
            pass

    def missing() -> Judge:
        raise JudgeError("no MediaPipe")

    monkeypatch.setattr(ablations, "ExpressionJudge", missing)
    assert ablations._judge(config, tmp_path, settings) == known
    monkeypatch.setattr(ablations, "ExpressionJudge", Judge)
    assert ablations._judge(config, tmp_path, settings) == "judged again"
    (tmp_path / "evaluation" / "metrics.json").write_text(json.dumps(known | {"expression_missing": None}))
    assert ablations._judge(config, tmp_path, settings)["asked"] == 24


def test_the_command_goes_on_and_repeats_nothing(tiny_faces, tmp_path, monkeypatch):
    torch.manual_seed(0)
    save_checkpoint(AgeClassifier(ClassifierConfig(resolution=32)), tmp_path / "V")
    configs = tmp_path / "configs"
    configs.mkdir()
    for name in RUNS:
        values = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
        values |= {"classifier": str(tmp_path / "V"), "robust_classifier": "", "data": [str(tiny_faces)]}
        values["model"] |= {"resolution": 64}
        values["phases"] = [{"images": 4, "resolution": 64, "batch": 2}]
        (configs / f"{name}.yaml").write_text(yaml.safe_dump(values))
    monkeypatch.setattr(ablations, "CONFIGS", configs)
    judged, trained = [], []
    real_training = ablations.train_generator

    def training(*arguments):
        trained.append(arguments[1].name)
        return real_training(*arguments)

    def judging(settings):
        judged.append(settings.checkpoint.parent.name)
        result = measured(row(28.0), row(45.0), row(62.0)) | {"faces": settings.count}
        result |= {"asked": settings.count, "sha256": hub.resolve(settings.checkpoint).sha256}
        settings.out.mkdir(parents=True, exist_ok=True)
        (settings.out / "metrics.json").write_text(json.dumps(result))
        return result

    monkeypatch.setattr(ablations, "train_generator", training)
    monkeypatch.setattr(ablations, "evaluate", judging)
    monkeypatch.setattr(ablations, "held_out", lambda names: torch.arange(len(names)) < 2)
    settings = Ablations(tmp_path / "out", only=("single", "pair"), count=2, cache=str(tmp_path / "cache"))
    assert run_ablations(replace(settings, minutes=0.0)) == [] and trained == []
    assert run_ablations(replace(settings, only=("pair",))) == ["pair"]
    assert run_ablations(settings) == ["single", "pair"]
    assert run_ablations(settings) == ["single", "pair"]
    assert trained == judged == ["pair", "single"]
    with pytest.raises(ValueError, match="were begun with no --images"):
        run_ablations(replace(settings, images=50))
    save_pretrained(Generator(GeneratorConfig(resolution=64)), tmp_path / "out" / "pair" / "generator", "# Other\n")
    assert run_ablations(settings) == ["single", "pair"] and judged == ["pair", "single", "pair"]  # other weights
    text = (tmp_path / "out" / "ablations.md").read_text()
    assert text.index("| single |") < text.index("| pair |")
    assert Image.open(tmp_path / "out" / "ablations.png").width == 5 * 192
