"""Cards are written from the measurements of the very weights beside them, or not at all."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from agetransformer import hub
from train.card import RESULTS_BEGIN, RESULTS_END, CardError, render_card, render_readme, write_cards

ROOT = Path(__file__).parents[1]
ROW = {
    "age_mean": 61.4, "age_sd": 4.2, "age_mean_corrected": 60.1, "age_error": 5.6, "age_error_unedited": 31.2,
    "age_error_corrected": 5.1, "gender_kept": 0.97, "gender_kept_female": 0.95, "gender_kept_male": 0.99,
    "sharpness": 1.01, "sharpness_network": 0.98, "background": 0.42, "colour_p99": 4.4, "colour_p99_pooled": 4.5,
    "identity": 0.33, "smile": 0.3, "smile_kept": 0.93, "neutral_kept": 0.9, "happiness_kept": 0.92,
}  # fmt: skip
GROUP = {
    "gender": "female", "ages": "30-39", "faces": 21, "judge_error": 5.0, "targets": {"65": {
        "age_error": 7.1, "age_error_se": 0.8, "age_error_unedited": 30.0, "age_offset": -6.2, "gender_kept": 0.95,
        "identity": 0.34,
    }},
}  # fmt: skip
NOTHING = ROW | {"target": None, "age_error": None, "age_error_unedited": None, "gender_kept": 1.0}
README = f"# Title\n\n{RESULTS_BEGIN}\nold\n{RESULTS_END}\n\nThe end.\n"


def give_notes(folder: Path, sha256: str) -> None:
    notes = f'sha256: "{sha256}"\ntraining: For 7 images.\ndata: Nine faces.\nseen: it looks odd.\n'
    (folder / "notes.yaml").write_text(notes)


@pytest.fixture
def generator(tmp_path: Path, untrained_generator: Path) -> Path:
    folder = Path(shutil.copytree(untrained_generator, tmp_path / "generator"))
    sha256 = hub.resolve(folder).sha256
    metrics = {
        "checkpoint": "generator", "sha256": sha256, "resolution": 64, "size": 512, "faces": 40, "ages": [65],
        "stranger": 0.8, "judge_error": 6.1, "judge_gender_agrees": 0.99, "expression_missing": None,
        "judge_bias": {"65": None}, "do_nothing": NOTHING, "table": {}, "methods": {"generator": {
            "always_rises": 1.0, "spearman": 0.9, "rows": [ROW | {"target": 65.0, "rises": None}], "groups": [GROUP],
        }},
    }  # fmt: skip
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    give_notes(folder, sha256)
    return folder


def test_card_of_a_generator(generator: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(README)
    assert write_cards(generator, tmp_path / "metrics.json", readme) == [generator / "README.md", readme]
    text = (generator / "README.md").read_text()
    assert (generator / "metrics.json").read_bytes() == (tmp_path / "metrics.json").read_bytes()
    card = ModelCard(text).data
    assert (card.license, card.pipeline_tag) == ("cc-by-nc-4.0", "image-to-image") and "face-aging" in card.tags
    assert (
        hub.resolve(generator).sha256 in text and f"{(generator / 'model.safetensors').stat().st_size:,} bytes" in text
    )
    assert "residual output and\na Gaussian age code (sigma 4 years), working at 64 px" in text
    assert "For 7 images." in text and "Nine faces." in text and "at 1:1: it looks odd." in text
    assert "| do nothing | 61.4 ± 4.2 |" in text and "| 65 | 61.4 ± 4.2 | 60.1 | 5.6 (31.2) |" in text
    assert "| female | 30-39 | 21 | 5.0 | 7.1 ± 0.8 (-6.2) | 95 | 0.34 |" in text
    for heading in ("Measured", "Bias", "Data", "Limits", "Use", "Licence"):
        assert f"\n## {heading}\n" in text
    written = readme.read_text()
    assert written.startswith("# Title\n") and written.endswith(f"{RESULTS_END}\n\nThe end.\n") and "old" not in written
    assert "| 65 | 61.4 ± 4.2 | 5.6 (31.2) | 97 % | 93 % | 0.98 | 0.42 | 4.4 | 0.33 |" in written
    assert "it looks odd." in written and "40 held-out FFHQ faces" in written
    assert render_readme(written, generator) == written  # writing again changes nothing


def test_measurements_and_notes_must_be_of_these_weights(generator: Path, tmp_path: Path) -> None:
    metrics = tmp_path / "metrics.json"
    with pytest.raises(CardError, match=r"metrics\.json is missing: measure"):
        render_card(generator)
    text = metrics.read_text()
    metrics.write_text(text.replace(hub.resolve(generator).sha256, "0" * 64))
    with pytest.raises(CardError, match="measured on other weights"):
        write_cards(generator, metrics)
    metrics.write_text(text)
    give_notes(generator, "0" * 64)
    with pytest.raises(CardError, match=r"notes\.yaml is about other weights.*set its sha256 to '[0-9a-f]{64}'"):
        write_cards(generator, metrics)
    (generator / "notes.yaml").unlink()
    with pytest.raises(CardError, match=r"notes\.yaml is missing"):
        write_cards(generator, metrics)
    give_notes(generator, hub.resolve(generator).sha256)
    with pytest.raises(CardError, match="README has no lines"):
        render_readme("# Title\n", generator)


def test_card_of_a_classifier(untrained_classifier: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(untrained_classifier, tmp_path / "classifier-robust"))
    sha256 = hub.resolve(folder).sha256
    row = {"images": 12, "mae": 5.432, "mae_guess": 17.21, "mae_20_69": 5.1, "gender_accuracy": 0.957}
    group = {"gender": "male", "ages": "70 and over", "images": 5, "mae": 9.1, "mae_se": 1.2, "offset": -8.8}
    groups = [group | {"gender_accuracy": 1.0}]
    attacked = {"images": 256, "radius": 2.0, "steps": 5, "mae_clean": 5.21, "mae": 31.83}
    metrics = {"sha256": sha256, "archives": {"faces": row}, "all": row, "groups": groups, "attacked": attacked}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    give_notes(folder, sha256)
    text = render_card(folder)
    assert "# Robust age classifier V\n" in text and "configs/classifier-robust.yaml" in text
    assert "| faces | 12 | 5.43 | 5.10 | 17.21 | 95.7 % |" in text and "wrong by 17.2 years" in text
    assert "of L2 length 2 " in text and "read 31.8 years wrong; unperturbed, 5.2." in text
    assert "| male | 70 and over | 5 (few) | 9.1 ± 1.2 | -8.8 | 100 % |" in text
    assert ModelCard(text).data.license == "cc-by-nc-4.0"


@pytest.mark.parametrize(
    "name", ["generator", "classifier", "classifier-robust", "classifier-robust-224", "classifier-robust-strong"]
)
def test_embedded_cards_are_what_their_measurements_say(name: str) -> None:
    folder = ROOT / "checkpoints" / name
    if not (folder / "model.safetensors").is_file():
        pytest.skip(f"no weights in checkpoints/{name}")
    if "sha256" not in json.loads((folder / "metrics.json").read_text()):
        pytest.skip("measured before measurements named their weights; measure again, then run train.card")
    assert (folder / "README.md").read_text(encoding="utf-8") == render_card(folder)
    if name == "generator":
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        assert render_readme(readme, folder) == readme
