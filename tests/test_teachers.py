"""A generator that follows the mean edit of others."""

import pytest
import torch

from agetransformer.checkpoint import save_checkpoint
from agetransformer.networks import Generator, GeneratorConfig
from agetransformer.shading import luma, share_of_light
from train import generator
from train.forward import edit_at
from train.generator import GeneratorTraining, LossWeights, Phase, build_networks, open_phase, train_step
from train.losses import compute_distillation_loss
from train.parallel import Share
from train.teachers import teach, teach_mean

MODEL = GeneratorConfig(resolution=64, residual=True)


@pytest.fixture(scope="module")
def folder(tiny_faces, untrained_classifier):
    """Three generators of other weights, each with a change that can be seen."""
    folder = tiny_faces.parent / "teachers"
    for seed in range(3):
        torch.manual_seed(seed)
        network = Generator(MODEL)
        with torch.no_grad():
            network.decoder.conv3.weight.mul_(4)
        save_checkpoint(network, folder / str(seed))
    return folder


@pytest.fixture
def lessons(monkeypatch) -> list[torch.Tensor]:
    """What each step of the student is to follow."""
    taught_so_far: list[torch.Tensor] = []

    def remember(edited, taught, background):
        taught_so_far.append(taught)
        return compute_distillation_loss(edited, taught, background)

    monkeypatch.setattr(generator, "compute_distillation_loss", remember)
    return taught_so_far


def training(folder, tiny_faces, classifier, **changes) -> GeneratorTraining:
    weights = LossWeights(recon=0.0, age=0.0, gan=0.0, distillation=100.0)
    values = {
        "data": (str(tiny_faces),),
        "classifier": str(classifier),
        "label_by_classifier": False,
        "teachers": (str(folder / "0"), str(folder / "1")),
        "start": str(folder / "2"),
        "model": MODEL,
        "phases": (Phase(400, 64, 4, 1e-3, weights),),
        "bf16": False,
    }
    return GeneratorTraining(**(values | changes))


def test_a_lesson_is_from_any_teacher_on_either_side(folder, tiny_faces, untrained_classifier):
    nets = build_networks(training(folder, tiny_faces, untrained_classifier), torch.device("cpu"))
    images, ages = torch.rand(3, 3, 64, 64) * 2 - 1, torch.tensor([25.0, 40.0, 60.0])
    with torch.no_grad():
        possible = []
        for teacher in nets.teachers:
            possible += edit_at(teacher, images, ages, dtype=torch.float32)
            possible += [edited.flip(3) for edited in edit_at(teacher, images.flip(3), ages, dtype=torch.float32)]
    seen = set()
    for seed in range(16):
        taught = teach(nets.teachers, images, ages, torch.Generator().manual_seed(seed), torch.float32)
        errors = torch.stack([(taught - one).abs().amax(dim=(1, 2, 3)) for one in possible])
        assert (errors.amin(dim=0) < 1e-5).all()
        seen |= set(enumerate(errors.argmin(dim=0).tolist()))
    assert len(seen) == 12  # each face of every teacher, and mirrored
    random = [torch.Generator().manual_seed(0) for _ in range(3)]
    whole = teach(nets.teachers, images[:2], ages[:2], random[0], torch.float32)
    parts = [
        teach(nets.teachers, images[i : i + 1], ages[i : i + 1], random[i + 1], torch.float32, Share(i, 2))
        for i in range(2)
    ]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_the_mean_lesson_is_from_all_teachers_each_on_either_side(folder, tiny_faces, untrained_classifier):
    nets = build_networks(training(folder, tiny_faces, untrained_classifier), torch.device("cpu"))
    images, ages = torch.rand(2, 3, 64, 64) * 2 - 1, torch.tensor([25.0, 60.0])
    with torch.no_grad():
        sides = [
            (
                edit_at(teacher, images, ages, dtype=torch.float32)[0],
                edit_at(teacher, images.flip(3), ages, dtype=torch.float32)[0].flip(3),
            )
            for teacher in nets.teachers
        ]
    possible = torch.stack([(first + second) / 2 for first in sides[0] for second in sides[1]])
    seen = set()
    for seed in range(12):
        random = torch.Generator().manual_seed(seed)
        taught = teach_mean(nets.teachers, images, ages, random, torch.float32)
        errors = (taught - possible).abs().amax(dim=(2, 3, 4))
        assert (errors.amin(dim=0) < 1e-5).all()
        seen |= set(enumerate(errors.argmin(dim=0).tolist()))
        part = teach_mean(nets.teachers, images[1:], ages[1:], random.manual_seed(seed), torch.float32, Share(1, 2))
        torch.testing.assert_close(part, taught[1:])
    assert len(seen) > 4  # the side is drawn for each teacher and face


def test_a_cored_lesson_has_no_weak_detail_and_no_scratch(folder, tiny_faces, untrained_classifier, lessons):
    for coring in (0.0, 0.5):
        config = training(
            folder,
            tiny_faces,
            untrained_classifier,
            taught_coring=coring,
            taught_older=8.0,
            teachers=(str(folder / "0"),),
        )
        nets = build_networks(config, torch.device("cpu"))
        nets.teachers[0].decoder.conv3.bias.sub_(0.05)  # darkens, the same on either side: no detail
        draw, _ = open_phase(config, nets, config.phases[0], 0, str(folder / "cache"))
        batch = draw(2)
        train_step(nets, batch, config.phases[0], config, 2)
    older = batch.targets >= batch.ages
    assert older.any() and not older.all()
    plain, cored = (luma(lesson - batch.images) for lesson in lessons)
    assert (cored.diff(dim=2).abs().mean() < 0.5 * plain.diff(dim=2).abs().mean()).item()
    shares = [(-share_of_light(change, luma(batch.images)))[older] for change in (plain, cored)]
    assert shares[1].max() < 0.7 * shares[0].max()
    torch.testing.assert_close(cored[~older].mean(), plain[~older].mean(), atol=0.01, rtol=0)


def test_a_teacher_of_another_resolution_teaches_its_change(folder, tiny_faces, untrained_classifier):
    nets = build_networks(training(folder, tiny_faces, untrained_classifier), torch.device("cpu"))
    smooth = torch.nn.functional.interpolate(torch.rand(2, 3, 8, 8) * 2 - 1, (64, 64), mode="bicubic")
    large = torch.nn.functional.interpolate(smooth, (96, 96), mode="bilinear")
    ages, teacher = torch.tensor([25.0, 60.0]), nets.teachers[:1]
    for seed in range(4):  # mirrored and not
        small, scaled = (
            teach(teacher, images, ages, torch.Generator().manual_seed(seed), torch.float32) - images
            for images in (smooth, large)
        )
        assert scaled.shape == large.shape
        expected = torch.nn.functional.interpolate(small, (96, 96), mode="bilinear")
        error = (scaled - expected).square().mean() / expected.square().mean()
        assert error < 0.15
    with torch.no_grad():
        plain = edit_at(teacher[0], large, ages, dtype=torch.float32)[0] - large
    assert (plain - expected).square().mean() / expected.square().mean() > 2 * error  # at 96 px it edits otherwise


def test_a_student_comes_nearer_to_its_teachers_on_spoiled_faces_too(folder, tiny_faces, untrained_classifier):
    config = training(folder, tiny_faces, untrained_classifier, relight=0.5, low_resolution=0.3, retouch=0.3)
    nets = build_networks(config, torch.device("cpu"))
    phase = config.phases[0]
    draw, _ = open_phase(config, nets, phase, 0, str(folder / "cache"))
    for group in nets.generator_optimizer.param_groups:
        group["lr"] = phase.lr
    losses = [float(train_step(nets, draw(step), phase, config, step)["distillation"]) for step in range(30)]
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


def test_the_lesson_is_spoiled_as_the_face_is(folder, tiny_faces, untrained_classifier, lessons):
    """With teachers that change nothing, the lesson is what the student sees."""
    config = training(folder, tiny_faces, untrained_classifier, relight=0.7, low_resolution=0.7, retouch=0.7)
    nets = build_networks(config, torch.device("cpu"))
    for network in (nets.generator, *nets.teachers):
        with torch.no_grad():
            network.decoder.conv3.weight.zero_()
    draw, _ = open_phase(config, nets, config.phases[0], 0, str(folder / "cache"))
    batch = draw(0)
    losses = train_step(nets, batch, config.phases[0], config, 0)
    assert losses["distillation"] < 1e-6
    assert (lessons[0] - batch.images).abs().max() > 0.1


def test_more_or_less_than_the_teachers_change_can_be_taught(folder, tiny_faces, untrained_classifier, lessons):
    for times in (1.0, 2.0):
        config = training(folder, tiny_faces, untrained_classifier, taught_younger=times, taught_older=times / 2)
        nets = build_networks(config, torch.device("cpu"))
        draw, _ = open_phase(config, nets, config.phases[0], 0, str(folder / "cache"))
        batch = draw(2)
        train_step(nets, batch, config.phases[0], config, 2)
    younger = batch.targets < batch.ages
    assert younger.any() and not younger.all()
    plain, more = ((lesson - batch.images) for lesson in lessons)
    torch.testing.assert_close(more[younger], 2 * plain[younger])
    torch.testing.assert_close(more[~younger], 2 * plain[~younger])
    assert plain[~younger].abs().max() > 0


@pytest.mark.parametrize("changes", [{"teachers": ()}, {"phases": (Phase(4, 64),)}])
def test_teachers_and_their_weight_come_together(folder, tiny_faces, untrained_classifier, changes):
    with pytest.raises(ValueError, match="set both or none"):
        build_networks(training(folder, tiny_faces, untrained_classifier, **changes), torch.device("cpu"))
