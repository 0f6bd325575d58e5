"""Edits that V reads beyond their target: how much of them is kept, and that the editor does so."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agetransformer import AgeEditor
from agetransformer.overshoot import LEAST, kept_share
from tests.test_editor import smooth_picture


def test_what_is_read_as_meant_or_less_is_kept_whole():
    assert kept_share(25, 65, 65) == kept_share(25, 65, 50) == kept_share(25, 65, 68) == 1
    assert kept_share(60, 25, 25) == kept_share(60, 25, 40) == kept_share(60, 25, 22) == 1
    assert kept_share(25, 65, 20) == 1  # it went the wrong way: less of it would not help, and V may be wrong


def test_what_is_read_beyond_is_weakened_in_proportion():
    assert kept_share(25, 65, 75) == pytest.approx((40 + 3) / 50)
    assert kept_share(60, 30, 22) == pytest.approx((30 + 3) / 38)
    shares = [kept_share(25, 65, read) for read in np.linspace(60, 100, 81)]
    assert shares == sorted(shares, reverse=True) and shares[-1] == pytest.approx(43 / 75)
    assert np.abs(np.diff(shares)).max() < 0.02  # no jump
    assert kept_share(25, 65, 75, 0.8) == pytest.approx(0.8 * 43 / 50)
    assert kept_share(25, 65, 66, 0.8) == 0.8 and kept_share(25, 65, 90, 0.6) == LEAST
    assert kept_share(60, 61, 90, 0.7) == 0.7  # near the own age it comes back to what it was, and not above


def test_near_the_own_age_little_depends_on_the_side():
    for read in (30, 38, 42, 44, 48, 60):
        assert kept_share(40, 40, read) == 1
        shares = [kept_share(40, target, read) for target in np.linspace(30, 50, 201)]
        assert np.abs(np.diff(shares)).max() < 0.02  # a film passes the own age without a jump


@pytest.fixture(scope="module")
def editor(embedded: None) -> AgeEditor:
    return AgeEditor.from_pretrained(device="cpu")


def test_the_editor_keeps_as_much_as_the_classifier_says(editor: AgeEditor, monkeypatch: pytest.MonkeyPatch):
    face = replace(editor.face_from_aligned(smooth_picture(64, 64)), age=30.0)
    encoding = editor.encode(face, hair=False)
    seen: list[torch.Tensor] = []

    def read(squares: torch.Tensor) -> torch.Tensor:
        seen.append(squares)
        return torch.tensor({3: [50.0, 85.0, 20.0], 1: [68.0] if len(seen) == 2 else [62.0]}[len(squares)])

    monkeypatch.setattr(editor.classifier, "predict", read)
    ages = [50.0, 60.0, 20.0]
    expected = [1, 33 / 55 * 33 / 38, 1]  # too much for 60 at first, and still with 33 / 55 of it
    assert editor.kept_shares(encoding, ages) == pytest.approx(expected) and len(seen) == 3
    whole = editor.decode(encoding, ages, kept=[1, 1, 1])
    assert len(seen) == 3  # not where it is told
    changes = [squares[-1 if len(squares) == 1 else 1] - encoding.reduced[0] for squares in seen]
    assert torch.allclose(changes[1], 33 / 55 * changes[0], atol=1e-5)
    assert torch.allclose(changes[2], expected[1] * changes[0], atol=1e-5)
    first, seen[:] = seen[0], []
    for share, one, other in zip(expected, editor.decode(encoding, ages), whole, strict=True):
        assert np.allclose(one.change, share * other.change, atol=1e-4)
    assert torch.equal(seen[0], first)
    assert seen[0].shape == (3, 3, 64, 64)
    corner = encoding.reduced[0, :, :1, :1]
    assert torch.equal(seen[0][:, :, :1, :1], corner.expand(3, -1, -1, -1))  # beside the face nothing is shown to it
    assert editor.kept_shares(encoding, []) == []
    with pytest.raises(ValueError, match=r"outside 20\.\.69"):
        editor.kept_shares(encoding, [70])
