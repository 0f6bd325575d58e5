"""The discriminators of the ablation against hand-computed scores and against what they may see."""

import pytest
import torch
from torch.nn.utils import parametrize

from agetransformer.networks import PatchDiscriminator
from train.discriminators import (
    PairDiscriminator,
    ProjectionDiscriminator,
    SingleDiscriminator,
    age_group,
    build_discriminator,
)


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
    torch.testing.assert_close(single(images, ages), plain(images), rtol=0, atol=0)
    torch.testing.assert_close(single(images, ages.flip(0)), plain(images), rtol=0, atol=0)


def test_projection_adds_the_inner_product_of_the_group_and_the_features(images):
    torch.manual_seed(0)
    network = ProjectionDiscriminator().eval()
    ages = torch.tensor([25.0, 40, 50, 60])
    with torch.no_grad(), parametrize.cached():
        scores = network(images, ages)
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
        at = {age: network(images, torch.full((4,), float(age))) for age in (20, 34, 35, 50, 69)}
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
        scores = network(images, torch.tensor([60.0, 44, 45, 20]))
        torch.testing.assert_close(seen[network.young], images[[1, 3]])
        torch.testing.assert_close(seen[network.old], images[[0, 2]])
        young, old = network.young(images[[1, 3]]), network.old(images[[0, 2]])
    # The scores come back in the order of the images.
    torch.testing.assert_close(scores, torch.stack([old[0], young[0], old[1], young[1]]))


def test_the_idle_one_of_two_learns_nothing_but_takes_part(images):
    network = PairDiscriminator()
    network(images[:2], torch.tensor([50.0, 60.0])).square().mean().backward()
    gradients = [parameter.grad for parameter in network.young.parameters()]
    assert all(gradient is not None and gradient.abs().max() == 0 for gradient in gradients)
    assert max(parameter.grad.abs().max() for parameter in network.old.parameters()) > 0


def test_unknown_kind_is_named():
    with pytest.raises(ValueError, match="discriminator: expected one of single, projection, pair, found 'triple'"):
        build_discriminator("triple")
