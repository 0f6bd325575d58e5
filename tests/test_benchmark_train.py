"""benchmarks.train: it runs, and the original's step is the recipe that it claims to be."""

import json
import sys

import pytest
import torch

from agetransformer.networks import Generator
from benchmarks import original_step as module
from benchmarks import train
from train.batches import Batch


def test_the_original_step_passes_the_generator_three_times_and_learns(monkeypatch):
    class Tiny(torch.nn.Module):  # in place of VGG-16, whose 138 million weights take seconds to draw
        def __init__(self, num_classes: int):
            super().__init__()
            self.linear = torch.nn.Linear(3, num_classes)

        def forward(self, x):
            assert x.shape[-2:] == (224, 224)
            return self.linear(x.mean(dim=(2, 3)))

    monkeypatch.setattr(module, "vgg16", Tiny)
    torch.manual_seed(0)
    nets = module.build_original(64, torch.device("cpu"))
    before = {name: value.clone() for name, value in nets.classifier.state_dict().items()}
    passes = []
    nets.generator.encoder.register_forward_hook(lambda *_: passes.append(torch.is_grad_enabled()))
    traits = torch.zeros(2, dtype=torch.int64)
    images, ages = torch.rand(2, 3, 64, 64) * 2 - 1, torch.tensor([25.0, 60.0])
    batch = Batch(images, ages, ages.flip(0), traits, images.flip(0), ages.flip(0), traits, *torch.zeros(2, 64, 64))
    with torch.no_grad():
        recon = 10 * (Generator.forward(nets.generator, images, ages.long()) - images).abs().mean()
    passes.clear()
    losses = [module.original_step(nets, batch) for _ in range(8)]
    assert passes == [True] * 24
    assert losses[0]["recon"] == pytest.approx(recon.item(), rel=0.05)  # a pass moves the power iteration
    assert losses[-1]["recon"] < losses[0]["recon"]
    assert all(torch.equal(before[name], value) for name, value in nets.classifier.state_dict().items())


def test_vgg_reads_images_as_imagenet_has_them():
    seen = []
    grey = torch.zeros(1, 3, 64, 64)  # half way between black and white
    module.read_ages(lambda x: seen.append(x), grey)
    expected = (0.5 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(seen[0], expected[None, :, None, None].expand(1, 3, 224, 224))


def test_a_quick_run_writes_times_of_all_paths_and_parts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks.train", "--quick", "--out", str(tmp_path)])
    train.main()
    report = json.loads((tmp_path / "train-cpu-64.json").read_text())
    paths = {result["name"]: result for result in report["paths"]}
    assert list(paths) == ["original", "ours, the paper's losses", "ours, cpu.yaml"]
    assert paths["original"]["times_original"] == 1
    said = capsys.readouterr().out
    for result in (*report["paths"], *report["parts"]):
        assert 0 < result["quartile1"] <= result["milliseconds"] <= result["quartile3"]
        assert result["name"] in said
