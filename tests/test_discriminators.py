"""The discriminators of the ablation against hand-computed scores and against what they may see."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.utils import parametrize

from agetransformer.checkpoint import save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from agetransformer.networks import PatchDiscriminator
from train.batches import age_balance, draw_batch
from train.data import load_faces
from train.discriminators import (
    PairDiscriminator,
    ProjectionDiscriminator,
    SingleDiscriminator,
    age_group,
    build_discriminator,
)
from train.generator import GeneratorTraining, Phase, train_generator

TRAITS = torch.tensor([0, 1, 2, 3])


@pytest.fixture
def images():
    torch.manual_seed(1)
    return torch.randn(4, 3, 128, 128)


def test_age_groups_are_the_papers():
    assert age_group(torch.tensor([20.0, 34, 35, 44, 45, 54, 55, 69])).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_single_is_the_plain_discriminator(images):
    torch.manual_seed(0)
    plain = PatchDiscriminator().eval()
    torch.manual_seed(0)
    single = SingleDiscriminator().eval()  # the same random numbers, so that old runs and old seeds stay what they are
    assert plain.state_dict().keys() == single.state_dict().keys()
    ages = torch.tensor([20.0, 30, 50, 69])
    torch.testing.assert_close(single(images, ages, TRAITS), plain(images), rtol=0, atol=0)
    torch.testing.assert_close(single(images, ages.flip(0), TRAITS.flip(0)), plain(images), rtol=0, atol=0)


def test_projection_adds_the_inner_product_of_the_group_and_the_features(images):
    torch.manual_seed(0)
    network = ProjectionDiscriminator().eval()
    ages = torch.tensor([25.0, 40, 50, 60])
    with torch.no_grad(), parametrize.cached():
        scores = network(images, ages, TRAITS)
        phi, v = network.layers[:-1](images), network.groups.weight
        plain = network.layers[-1](phi)
        _, _, h, w = scores.shape
        # By hand, for the patch at row 2, column 1: psi's 4x4 window begins one pixel above and left of it.
        for n, group in enumerate((0, 1, 2, 3)):
            window = phi[n, :, 1:5, 0:4]
            expected = plain[n, 0, 2, 1] + torch.dot(v[group], window.mean(dim=(1, 2)))
            assert scores[n, 0, 2, 1].item() == pytest.approx(expected.item(), abs=1e-5)
        assert plain.shape == scores.shape == (4, 1, h, w)


def test_projection_score_depends_on_the_group_and_on_nothing_else_of_the_age(images):
    torch.manual_seed(0)
    network = ProjectionDiscriminator().eval()
    with torch.no_grad():
        at = {age: network(images, torch.full((4,), float(age)), TRAITS) for age in (20, 34, 35, 50, 69)}
    torch.testing.assert_close(at[20], at[34], rtol=0, atol=0)
    for one, other in ((34, 35), (35, 50), (50, 69)):
        assert (at[one] - at[other]).abs().mean() > 1e-3


def test_each_of_two_sees_only_its_ages(images):
    torch.manual_seed(0)
    network = PairDiscriminator().eval()
    seen = {}

    def record(module, arguments):
        seen[module] = arguments[0]

    network.young.register_forward_pre_hook(record)
    network.old.register_forward_pre_hook(record)
    with torch.no_grad():
        scores = network(images, torch.tensor([60.0, 44, 45, 20]), TRAITS)
        torch.testing.assert_close(seen[network.young], images[[1, 3]])
        torch.testing.assert_close(seen[network.old], images[[0, 2]])
        young, old = network.young(images[[1, 3]]), network.old(images[[0, 2]])
    # The scores come back in the order of the images.
    torch.testing.assert_close(scores, torch.stack([old[0], young[0], old[1], young[1]]))


def test_the_idle_one_of_two_learns_nothing_but_takes_part(images):
    network = PairDiscriminator()
    network(images[:2], torch.tensor([50.0, 60.0]), TRAITS[:2]).square().mean().backward()
    gradients = [parameter.grad for parameter in network.young.parameters()]
    assert all(gradient is not None and gradient.abs().max() == 0 for gradient in gradients)
    assert max(parameter.grad.abs().max() for parameter in network.old.parameters()) > 0


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match=r"discriminator: expected one of single, .*, found 'triple'"):
        build_discriminator("triple")


@pytest.mark.parametrize("kind", ["projection", "pair"])
def test_training_against_it_resumes_exactly(kind, tiny_faces, tmp_path):
    """Four steps in one go equal two and two, D's weights and Adam's moments included."""
    torch.manual_seed(0)
    classifier = save_checkpoint(AgeClassifier(ClassifierConfig(resolution=32)), tmp_path / "classifier")
    config = GeneratorTraining(
        data=(str(tiny_faces),),
        classifier=str(classifier),
        label_by_classifier=False,
        discriminator=kind,
        min_gap=10,
        phases=(Phase(4, 64, 1, 1e-3),),  # a batch of one: in every step one of the two is idle
        r1=10.0,
        r1_every=2,
        save_every=100,
        sample_every=100,
    )
    whole = train_generator(config, tmp_path / "whole", cache=str(tmp_path))
    half = replace(config, phases=(replace(config.phases[0], images=2),))
    train_generator(half, tmp_path / "cut", cache=str(tmp_path))
    resumed = train_generator(config, tmp_path / "cut", resume=True, cache=str(tmp_path))
    assert whole.name == resumed.name == "state-00000004"
    for path in whole.glob("*.safetensors"):
        for name, value in load_file(path).items():
            torch.testing.assert_close(load_file(resumed / path.name)[name], value, rtol=0, atol=0)


def test_real_faces_are_scored_at_their_own_ages(tiny_faces, tmp_path):
    faces = load_faces((str(tiny_faces),), 64, chips=False, cache=str(tmp_path))
    batch = draw_batch(faces, age_balance(faces.ages), count=4, step=3, min_gap=10)
    images, flipped = (x.round().byte() for x in ((batch.real + 1) * 127.5, (batch.real.flip(3) + 1) * 127.5))
    for age, image, mirrored in zip(batch.real_ages, images, flipped, strict=True):
        known = faces.images[(faces.ages == age).nonzero().item()]  # each age once
        assert torch.equal(image, known) or torch.equal(mirrored, known)
