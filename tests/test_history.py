"""LabelledImages of earlier steps for D."""

import pytest
import torch

from train.history import History, LabelledImages, halve


def edits(*values: float, side: int = 8) -> LabelledImages:
    """Faces that are told apart by their value; their targets and traits say it too."""
    numbers = torch.tensor(values)
    return LabelledImages(
        numbers.view(-1, 1, 1, 1).expand(-1, 3, side, side).clone(), numbers * 100, (numbers * 10).long()
    )


def test_every_edit_comes_out_with_its_own_labels_and_at_most_once():
    history, random = History(6), torch.Generator().manual_seed(0)
    seen = []
    for step in range(40):
        given = edits(step / 64, step / 64 + 1 / 128)
        out = history.exchange(given, random)
        assert out.images.dtype == torch.float32 and out.images.shape == given.images.shape
        shown = out.images[:, 0, 0, 0]
        assert torch.equal(out.ages, shown * 100) and torch.equal(out.traits, (shown * 10).long())
        if step < 3:
            assert torch.equal(out.images, given.images)  # there is room
        else:
            seen += shown.tolist()
    assert len(set(seen)) == len(seen)
    assert min(seen) < 3 / 64  # the first ones too


def test_edits_of_another_resolution_are_dropped():
    history, random = History(2), torch.Generator().manual_seed(0)
    history.exchange(edits(0.25, 0.5), random)
    assert history.exchange(edits(0.75, side=16), random).images.shape == (1, 3, 16, 16)
    assert history.exchange(edits(0.875, side=16), random).images.mean() == 0.875


def test_halves_are_taken_from_where_they_stand():
    first, second = edits(0.1, 0.2, 0.3), edits(0.4, 0.5, 0.6)
    both = halve(first, second)
    assert both.images[:, 0, 0, 0].tolist() == pytest.approx([0.1, 0.5, 0.6])
    assert both.ages.tolist() == pytest.approx([10, 50, 60]) and both.traits.tolist() == [1, 5, 6]
