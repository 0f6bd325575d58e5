"""V's training on a tiny data set."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from agetransformer.checkpoint import load_checkpoint, save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from train import classifier as training
from train.augment import augment, jitter_view
from train.classifier import (
    ClassifierTraining,
    build_networks,
    compute_classifier_loss,
    load_split,
    measure_attacked,
    measure_checkpoint,
    perturb,
    sampling_weights,
    to_input,
    train_classifier,
)
from train.data import Faces
from train.losses import soft_labels
from train.parallel import Share


def test_soft_labels_are_distributions_around_the_age():
    labels = soft_labels(torch.tensor([0.0, 40.0]), 2.0)
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(2))
    assert labels.argmax(dim=1).tolist() == [0, 40]
    assert (labels[1] @ torch.arange(101.0)).item() == pytest.approx(40, abs=1e-3)


def test_sampling_weights_lift_rare_cells():
    ages = torch.tensor([25.0] * 99 + [65.0])
    nothing = torch.zeros(100)
    faces = Faces(torch.zeros(100, 3, 1, 1), ages, nothing, ("x",) * 100, nothing.long(), nothing)
    weights = sampling_weights(faces, 1.0)
    assert abs(weights[:99].sum() - weights[99]) < 1e-4


def test_augmentation_keeps_shape_and_range_and_follows_its_generator():
    images = torch.randint(0, 256, (6, 3, 72, 72), dtype=torch.uint8)
    one, two, other = (augment(images, 64, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert one.shape == (6, 3, 64, 64)
    assert one.min() >= -1 and one.max() <= 1
    torch.testing.assert_close(one, two, rtol=0, atol=1e-5)
    assert (one - other).abs().mean() > 0.01


def test_two_shares_of_an_augmented_batch_are_the_whole():
    images = torch.randint(0, 256, (8, 3, 72, 72), dtype=torch.uint8)
    for seed in range(5):
        whole = augment(images, 64, torch.Generator().manual_seed(seed))
        parts = [
            augment(part, 64, torch.Generator().manual_seed(seed), Share(index, 2))
            for index, part in enumerate(images.chunk(2))
        ]
        torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-5)


def test_a_jittered_view_passes_gradients_and_strength_0_only_mirrors():
    x = torch.rand(4, 3, 32, 32, requires_grad=True)
    random = torch.Generator().manual_seed(0)
    still = jitter_view(x, 0.0, random)
    for view, image in zip(still, x, strict=True):
        assert min((view - image).abs().max(), (view - image.flip(2)).abs().max()) < 1e-4
    jitter_view(x, 1.0, random).sum().backward()
    assert (x.grad > 0).float().mean() > 0.8


def test_an_attack_stays_in_its_ball_and_raises_the_loss():
    torch.manual_seed(0)
    model = AgeClassifier(ClassifierConfig(resolution=64))
    for norm in (layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)):
        norm.momentum = 1.0
    x, ages, female = torch.randn(4, 3, 64, 64).clamp(-1, 1), torch.tensor([20.0, 35, 50, 65]), torch.ones(4)
    with torch.no_grad():  # fresh statistics and a flat head would hide every change of the input
        model.age.weight.normal_(std=0.3)
        model(x)
    config = ClassifierTraining(attack_radius=1.5, attack_steps=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    attacked = perturb(model, x, ages, female, config)
    assert (attacked - x).flatten(1).norm(dim=1).max() <= 1.5 + 1e-4
    assert model.training and all(p.requires_grad for p in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    model.eval()
    with torch.no_grad():
        clean, worse = (compute_classifier_loss(model, y, ages, female, config) for y in (x, attacked))
    assert worse > clean


class Brightness(nn.Module):
    """Reads 40 years and 100 more for each unit of brightness: an L2 radius r moves it by 100 r / sqrt(values)."""

    config = ClassifierConfig(resolution=32, gender=False)

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(100.0))

    def forward(self, x):
        reading = 40 + self.scale * x.mean(dim=(1, 2, 3))
        return -0.5 * ((torch.arange(101) - reading[:, None]) / 2) ** 2, None


def test_the_measured_attack_is_nearly_the_worst_one_of_its_length():
    images = torch.full((6, 3, 32, 32), 127, dtype=torch.uint8)
    ages, zeros = torch.tensor([20.0, 25, 30, 50, 55, 60]), torch.zeros(6)
    result = measure_attacked(Brightness(), Faces(images, ages, zeros, tuple("abcdef"), zeros.long(), zeros))
    reading = 40 + 100 * (127 / 127.5 - 1)
    assert result["mae_clean"] == pytest.approx((ages - reading).abs().mean().item(), abs=0.01)
    worst = 100 * 2 / (3 * 32 * 32) ** 0.5
    assert 0.9 * worst < result["mae"] - result["mae_clean"] <= worst


def test_training_learns_and_writes_a_half_precision_checkpoint(tiny_faces, tmp_path):
    start = tmp_path / "start"
    torch.manual_seed(0)
    save_checkpoint(AgeClassifier(ClassifierConfig(resolution=32, dropout=0.0)), start)
    config = ClassifierTraining(
        data=(str(tiny_faces),), start=str(start), model=ClassifierConfig(resolution=32), images=96, batch=8, small=32,
        lr=5e-3, ema=0.5, attack_radius=0.5,
    )  # fmt: skip
    result = train_classifier(config, tmp_path / "out", cache=str(tmp_path))
    assert result["archives"]["faces"] == result["all"] and result["all"]["images"] > 0
    everyone = result["groups"][0]
    assert (everyone["images"], everyone["mae"]) == (
        result["all"]["images"],
        pytest.approx(result["all"]["mae"], abs=1e-4),
    )
    assert result["attacked"]["images"] == result["all"]["images"]
    assert json.loads((tmp_path / "out/metrics.json").read_text()) == result
    trained = load_checkpoint(AgeClassifier, ClassifierConfig, tmp_path / "out")
    assert (tmp_path / "out/model.safetensors").stat().st_size < 8e6
    untrained = load_checkpoint(AgeClassifier, ClassifierConfig, start)
    train, test = load_split(config, cache=str(tmp_path))
    x = to_input(trained, train.images)
    with torch.no_grad():
        after, before = (
            compute_classifier_loss(model.eval(), x, train.ages, train.female, config).item()
            for model in (trained, untrained)
        )
    assert after < before - 0.03
    before = measure_checkpoint(start, test, config.data)
    assert before["sha256"] != result["sha256"] and before["groups"] != result["groups"]
    again = measure_checkpoint(tmp_path / "out", test, config.data)
    assert again == result


def test_a_killed_run_goes_on_to_the_same_weights(tiny_faces, tmp_path, monkeypatch):
    torch.manual_seed(0)
    save_checkpoint(AgeClassifier(ClassifierConfig(resolution=32)), tmp_path / "start")
    config = ClassifierTraining(
        data=(str(tiny_faces),), start=str(tmp_path / "start"), model=ClassifierConfig(resolution=32, dropout=0.5),
        images=70, batch=8, small=24, save_every=3, attack_radius=0.5,
    )  # fmt: skip
    cache, killed = str(tmp_path / "cache"), tmp_path / "killed"
    with pytest.raises(ValueError, match="is not what the weights in"):  # and not when all is trained
        train_classifier(
            replace(config, model=replace(config.model, gender=False)), tmp_path / "run", cache=str(tmp_path)
        )
    with pytest.raises(FileNotFoundError, match="start without --resume"):
        train_classifier(config, killed, resume=True, cache=cache)
    whole = train_classifier(config, tmp_path / "whole", cache=cache)

    steps, update = [], training.update_average
    monkeypatch.setattr(
        training, "update_average", lambda *given: (steps.append(0), update(*given), 1 / (5 - len(steps)))
    )
    with pytest.raises(ZeroDivisionError):  # in the fifth of eight steps
        train_classifier(config, killed, cache=cache)
    monkeypatch.setattr(training, "update_average", update)
    assert [path.name for path in killed.iterdir() if path.name != "tensorboard"] == ["state-00000003"]
    assert all(file.stat().st_size < 16e6 for file in (killed / "state-00000003").iterdir())
    with pytest.raises(FileExistsError, match="holds a run already: go on with --resume"):
        train_classifier(config, killed, cache=cache)
    stopped = train_classifier(config, killed, minutes=0, resume=True, cache=cache)
    assert (killed / "state-00000003").is_dir() and stopped["sha256"] != whole["sha256"]
    assert train_classifier(config, killed, resume=True, cache=cache) == whole
    one, two = (load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", killed))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    assert not list(killed.glob("state-*")) and not list(killed.glob("part-*"))
    with pytest.raises(FileExistsError, match="holds finished weights"):
        train_classifier(config, killed, cache=cache)


@pytest.mark.parametrize("setting", ["images", "batch", "save_every", "measure_every", "log_every"])
def test_a_zero_is_refused_before_the_data_is_read(tmp_path, setting):
    config = replace(ClassifierTraining(data=("none.zip",)), **{setting: 0})
    with pytest.raises(ValueError, match=f"{setting}: expected 1 or more, found 0"):
        train_classifier(config, tmp_path / "out", cache=str(tmp_path))


def test_the_dropout_of_a_start_is_what_the_config_says(tmp_path):
    save_checkpoint(AgeClassifier(ClassifierConfig(resolution=32, dropout=0.0)), tmp_path)
    config = ClassifierTraining(start=str(tmp_path), model=ClassifierConfig(resolution=32, dropout=0.5))
    nets = build_networks(config, torch.device("cpu"))
    assert nets.model.dropout.p == nets.average.dropout.p == nets.model.config.dropout == 0.5


def test_a_batch_larger_than_the_data_is_refused(tiny_faces, tmp_path):
    config = ClassifierTraining(data=(str(tiny_faces),), model=ClassifierConfig(resolution=32), batch=64)
    with pytest.raises(ValueError, match=r"faces to train on are less than a batch of 64"):
        train_classifier(config, tmp_path / "out", cache=str(tmp_path))
