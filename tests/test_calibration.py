"""How much of a change is added, by what V reads of it, and that the editor does so."""

import csv
import io
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from agetransformer import AgeEditor
from agetransformer import editor as editing
from agetransformer.calibration import (
    LEAST,
    MOST,
    MOST_OLDER,
    MOST_TWICE,
    calibrated_share,
    expected_reading,
    first_pass,
)
from agetransformer.checkpoint import load_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.compositing import face_mask
from agetransformer.editor import STRONGEST
from agetransformer.faces import HairChange
from agetransformer.hub import CLASSIFIER_FOLDER
from tests.test_editor import smooth_picture
from train.data import held_out

FFHQ = Path(__file__).parents[2] / "shared" / "data"


def test_what_is_read_about_as_meant_is_left_as_it_is():
    assert calibrated_share(25, 65, 65) == calibrated_share(25, 65, 62) == calibrated_share(25, 65, 68) == 1
    assert calibrated_share(60, 25, 25) == calibrated_share(60, 25, 28) == calibrated_share(60, 25, 22) == 1
    assert calibrated_share(25, 65, 66, 0.8) == 0.8


def test_what_is_read_beyond_or_short_of_it_is_weakened_or_strengthened_in_proportion():
    assert calibrated_share(25, 65, 75) == pytest.approx((40 + 3) / 50)
    assert calibrated_share(60, 30, 22) == pytest.approx((30 + 3) / 38)
    assert calibrated_share(25, 65, 57) == pytest.approx((40 - 3) / 32)
    assert calibrated_share(60, 30, 35) == pytest.approx((30 - 3) / 25)
    assert calibrated_share(25, 65, 75, 0.8) == pytest.approx(0.8 * 43 / 50)
    assert calibrated_share(25, 65, 90, 0.6) == LEAST and calibrated_share(25, 65, 40) == MOST_OLDER
    for wrong_way in (20, 25):
        assert calibrated_share(25, 65, wrong_way) == MOST_OLDER
    shares = [calibrated_share(25, 65, read) for read in np.linspace(20, 100, 161)]
    assert shares == sorted(shares, reverse=True)
    assert np.abs(np.diff(shares)).max() < 0.03  # no jump


def test_old_faces_that_stay_old_get_a_second_pass():
    assert calibrated_share(75, 27, 50) == pytest.approx((48 - 3) / 25)
    assert calibrated_share(75, 27, 70) == MOST_TWICE and calibrated_share(75, 27, 40, 1.4) == pytest.approx(1.8)
    assert calibrated_share(27, 75, 30) == MOST_OLDER < MOST_TWICE
    assert first_pass(MOST_OLDER, older=True) == MOST_OLDER  # none grows older by it
    assert first_pass(MOST_OLDER, older=False) == first_pass(MOST, older=False) == MOST
    assert calibrated_share(40, 31, 38) < MOST  # nor where the ages are near
    shares = [calibrated_share(75, 27, read) for read in np.linspace(20, 75, 111)]
    assert shares == sorted(shares) and np.abs(np.diff(shares)).max() < 0.12


def test_near_the_own_age_little_depends_on_the_side():
    for read in (30, 38, 42, 44, 48, 60):
        assert calibrated_share(40, 40, read) == calibrated_share(40, 42, read) == 1
        shares = [calibrated_share(40, target, read) for target in np.linspace(28, 52, 241)]
        assert np.abs(np.diff(shares)).max() < 0.025  # a film passes the own age without a jump


@pytest.fixture(scope="module")
def editor(embedded: None) -> AgeEditor:
    return AgeEditor.from_pretrained(device="cpu")


def test_the_editor_adds_as_much_as_the_classifier_says(editor: AgeEditor, monkeypatch: pytest.MonkeyPatch):
    face = replace(editor.face_from_aligned(smooth_picture(64, 64)), age=30.0)
    encoding = editor.encode(face, hair=False)
    seen: list[torch.Tensor] = []

    def read(squares: torch.Tensor) -> torch.Tensor:
        seen.append(squares)
        return torch.tensor([[49.0, 80.0, 26.0], [68.0, 22.5], [61.0]][len(seen) - 1])

    monkeypatch.setattr(editor.classifier, "predict", read)
    monkeypatch.setattr("agetransformer.editor.soften_ageing", lambda change, _: change)  # it is not linear
    ages = [50.0, 60.0, 20.0]
    # Right at first; too much, and still; too little, and then right.
    most, least = expected_reading(60) - 30 + 3, 30 - expected_reading(20) - 3
    expected = [1, most / 50 * most / 38, 1 + (least / 4 - 1) * least / 8]
    shares = editor.calibrate(encoding, ages)
    assert len(seen) == 3 and [len(squares) for squares in seen] == [3, 2, 1]
    assert shares == pytest.approx(expected)
    whole = editor.decode(encoding, ages, shares=[1, 1, 1])
    (strongest,) = editor.decode(encoding, [20.0], strength=STRONGEST, shares=[1.2])
    assert np.allclose(strongest.change, STRONGEST * whole[2].change, atol=1e-4)
    assert len(seen) == 3  # not where it is told
    changes = [squares - encoding.reduced for squares in seen]
    assert torch.allclose(changes[1][0], most / 50 * changes[0][1], atol=1e-5)
    first, seen[:] = seen[0], []
    for share, one, other in zip(expected, editor.decode(encoding, ages), whole, strict=True):
        assert np.allclose(one.change, share * other.change, atol=1e-4)
    assert torch.equal(seen[0], first)
    assert first.shape == (3, 3, 64, 64)
    corner = encoding.reduced[0, :, :1, :1]
    assert torch.equal(first[:, :, :1, :1], corner.expand(3, -1, -1, -1))  # beside the face nothing is shown to it
    seen.clear()
    assert editor.calibrate(encoding, []) == []
    with pytest.raises(ValueError, match=r"outside 20\.\.69"):
        editor.calibrate(encoding, [70])


def test_who_grows_older_gets_one_pass_and_at_most_a_fifth_beyond_what_is_asked_for(
    editor: AgeEditor, monkeypatch: pytest.MonkeyPatch
):
    face = replace(editor.face_from_aligned(smooth_picture(64, 64)), age=30.0)
    encoding = editor.encode(face, hair=False)
    monkeypatch.setattr("agetransformer.editor.soften_ageing", lambda change, _: change)  # it is not linear
    monkeypatch.setattr(editor.engine, "encode", lambda _: pytest.fail("a second pass"))
    (plain,) = editor.decode(encoding, [60], shares=[1])
    for share, strength, most in ((1.5, 1.0, 1.5), (1.5, 1.5, 1.5 * 1.2), (1.2, 1.5, 1.5), (1.0, 1.5, 1.5)):
        (made,) = editor.decode(encoding, [60], strength=strength, shares=[share])
        assert np.allclose(made.change, most * plain.change, atol=1e-4), (share, strength)
    (half,) = editor.decode(encoding, [60], strength=0.5, shares=[MOST_OLDER])
    assert np.allclose(half.change, 0.5 * MOST_OLDER * plain.change, atol=1e-4)


def test_a_second_pass_is_over_what_the_first_has_made(editor: AgeEditor, monkeypatch: pytest.MonkeyPatch):
    face = replace(editor.face_from_aligned(smooth_picture(64, 64)), age=70.0)
    encoding = editor.encode(face, hair=False)
    encoded: list[torch.Tensor] = []
    encode = editor.engine.encode
    monkeypatch.setattr(editor.engine, "encode", lambda images: encoded.append(images) or encode(images))
    (once,) = editor.decode(encoding, [25], shares=[MOST])
    assert not encoded
    (half,), (twice,) = (editor.decode(encoding, [25], shares=[MOST + more]) for more in (0.5, 1.0))
    mask = torch.from_numpy(face_mask(None, 64))[..., None]
    made = encoding.reduced + (mask * torch.from_numpy(once.change) / 127.5).permute(2, 0, 1)
    assert len(encoded) == 2 and torch.allclose(encoded[0], made.clamp(-1, 1), atol=1e-5)
    again = editor.engine.decode(encode(encoded[0]), torch.tensor([25.0]))[0] - encoded[0][0]
    for edited, more in ((half, 0.5), (twice, 1.0)):
        assert np.allclose(edited.change - once.change, 127.5 * more * again.permute(1, 2, 0).numpy(), atol=1e-2)
    (weak,) = editor.decode(encoding, [25], strength=0.5, shares=[MOST + 1])
    assert np.allclose(weak.change, twice.change / 2, atol=1e-2)
    readings = iter(([60.0], [50.0], [40.0]))
    monkeypatch.setattr(editor.classifier, "predict", lambda squares: torch.tensor(next(readings)))
    encoded.clear()
    (share,) = editor.calibrate(encoding, [25])
    assert share == MOST_TWICE and len(encoded) == 1  # made once for all readings


def test_the_classifier_sees_the_hair_that_is_shown(editor: AgeEditor, monkeypatch: pytest.MonkeyPatch):
    """Only the part of it in the face's square, as bright as the network saw the face, and at full strength."""
    face = replace(editor.face_from_aligned(smooth_picture(64, 64)), age=30.0)
    encoding = replace(editor.encode(face, hair=False), exposure=2.0)
    side = editor.resolution
    values = np.full((side // 2, side // 2, 3), 40, np.float32)
    monkeypatch.setattr(editing, "_recolour", lambda encoding, age: (HairChange(values, -10, side - 20),))
    seen: list[torch.Tensor] = []

    def read(squares: torch.Tensor) -> torch.Tensor:
        seen.append(squares)
        return torch.tensor([expected_reading(60)])

    monkeypatch.setattr(editor.classifier, "predict", read)
    for call in (editor.calibrate, partial(editor.decode, strength=0.5)):
        seen.clear()
        call(encoding, [60])
        call(encoding, [60], hair=False)
        hair = (seen[0] - seen[1])[0]
        assert torch.allclose(hair[:, -20:, : side // 2 - 10], torch.tensor(2 * 40 / 127.5))
        assert hair[:, :-20].abs().max() < 1e-6 and hair[:, :, side // 2 - 10 :].abs().max() < 1e-6
    (edited,) = editor.decode(encoding, [60], strength=0.5)
    assert np.array_equal(edited.hair[0].values, values / 2)


@pytest.mark.skipif(not FFHQ.is_dir(), reason="needs ../shared, faces of known age")
def test_what_the_classifier_reads_on_average_is_known(embedded: None):
    """On the faces of FFHQ that it was not trained on, within what 25 to 75 of them can tell."""
    classifier = load_checkpoint(AgeClassifier, ClassifierConfig, CLASSIFIER_FOLDER).eval()
    labels, readings = [], []
    for part in "ab":
        with zipfile.ZipFile(FFHQ / f"ffhq-512-{part}.zip") as archive:
            rows = list(csv.DictReader(io.TextIOWrapper(archive.open("labels.csv"), "utf-8")))
            for row, unseen in zip(rows, held_out([row["file"] for row in rows]).tolist(), strict=True):
                if unseen and 20 <= float(row["age"]) <= 69:
                    with Image.open(archive.open(row["file"])) as square:
                        pixels = np.array(square.convert("RGB"))
                    image = torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1
                    labels.append(float(row["age"]))
                    readings.append(classifier.predict(image).item())
    ages, errors = np.array(labels), np.array(readings) - [expected_reading(age) for age in labels]
    assert len(ages) > 100
    for low, high in ((20, 35), (35, 50), (50, 70)):
        assert abs(errors[(ages >= low) & (ages < high)].mean()) < 2.5
    assert (np.array(readings) - ages)[ages < 35].mean() > 1  # as they are they would not do
