"""Skin maps: what is drawn, what is read back, and that training changes the skin alone."""

import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from train import map_skin
from train.archives import Archive
from train.batches import age_balance, draw_batch
from train.data import load_faces
from train.face_maps import save_maps
from train.face_reader import FaceReader, FaceReaderError
from train.generator import GeneratorTraining, Phase, open_phase
from train.losses import background_prior, show_on_face
from train.map_skin import draw_skin_map, draw_skin_maps, main
from train.skin_maps import SIDE, load_skin_maps, resize_skin

ROOT = Path(__file__).parent.parent
SKIN, HAIR, CLOTHES, TEETH = (200, 160, 140), (40, 30, 30), (60, 80, 160), (250, 250, 245)


def ellipse(centre: tuple[float, float], radii: tuple[float, float]) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    return np.array(centre) + np.column_stack([np.cos(t), np.sin(t)]) * radii


OVAL, MOUTH = ellipse((0.5, 0.57), (0.25, 0.3)), ellipse((0.5, 0.75), (0.08, 0.04))
EYES = np.stack([ellipse((x, 0.48), (0.05, 0.02)) for x in (0.38, 0.62)])


def face(shine: bool = False) -> np.ndarray:
    """A head whose hair hangs into the outline, on a plain ground; with `shine` a bright spot on the forehead."""
    image = Image.new("RGB", (256, 256), CLOTHES)
    draw = ImageDraw.Draw(image)
    for outline, colour in ((ellipse((0.5, 0.54), (0.26, 0.36)), SKIN), (MOUTH, TEETH)):
        draw.polygon([tuple(point) for point in (outline * 256).tolist()], fill=colour)
    draw.rectangle((0, 0, 255, 76), fill=HAIR)  # down to 0.3: the outline begins at 0.27
    if shine:
        draw.ellipse((113, 90, 143, 108), fill=TEETH)
    noise = np.random.default_rng(0).normal(0, 3, (256, 256, 1))
    return (np.asarray(image) + noise).clip(0, 255).astype(np.uint8)


def at(skin: np.ndarray, x: float, y: float) -> float:
    return float(skin[int(y * SIDE), int(x * SIDE)]) / 255


def test_a_map_is_the_skin_without_hair_eyes_mouth_and_background():
    skin = draw_skin_map(face(), OVAL, MOUTH, EYES)
    assert skin.shape == (SIDE, SIDE) and skin.dtype == np.uint8
    for x, y in ((0.35, 0.6), (0.65, 0.6), (0.5, 0.5), (0.5, 0.35), (0.5, 0.83)):  # cheeks, brow, forehead, chin
        assert at(skin, x, y) > 0.95, (x, y)
    for x, y in ((0.5, 0.2), (0.5, 0.28), (0.5, 0.75), (0.38, 0.48), (0.62, 0.48)):  # hair, mouth, eyes
        assert at(skin, x, y) < 0.05, (x, y)
    for x, y in ((0.38, 0.44), (0.62, 0.52)):  # lid and bag
        assert at(skin, x, y) > 0.9, (x, y)
    for x, y in ((0.1, 0.6), (0.9, 0.6), (0.5, 0.96)):  # ground
        assert at(skin, x, y) < 0.05, (x, y)


def test_skin_keeps_off_the_hair_line():
    skin = draw_skin_map(face(), OVAL, MOUTH, EYES)
    column = skin[:, SIDE // 2] / 255
    assert column[int(0.31 * SIDE)] < 0.3  # two pixels of the map below the hair
    assert column[int(0.36 * SIDE)] > 0.9


def test_a_shine_with_skin_all_around_it_is_skin():
    assert at(draw_skin_map(face(), OVAL, MOUTH, EYES), 0.5, 0.39) > 0.95
    assert at(draw_skin_map(face(shine=True), OVAL, MOUTH, EYES), 0.5, 0.39) > 0.95


def test_maps_come_back_by_name_and_others_are_the_mean_oval(tmp_path):
    path = tmp_path / "deep" / "skin.npz"
    drawn = draw_skin_map(face(), OVAL, MOUTH, EYES)
    save_maps(path, {f"{letter}.png": drawn for letter in "acde"})
    maps = load_skin_maps(path, ["b.png", "a.png", "c.png", "d.png", "e.png"])
    assert maps.shape == (5, 1, SIDE, SIDE) and np.array_equal(maps[1, 0], drawn)
    assert (maps[0, 0] / 255 - (1 - background_prior(SIDE))).abs().max() < 0.01
    assert [entry.name for entry in path.parent.iterdir()] == ["skin.npz"]
    resized = resize_skin(maps, 48)
    assert resized.shape == (5, 1, 48, 48) and resized.min() >= 0 and resized.max() == 1
    save_maps(path, {"a.png": drawn[::2, ::2]})
    with pytest.raises(ValueError, match="drawn by another version; please draw them anew"):
        load_skin_maps(path, ["a.png"])


def test_maps_are_written_without_a_second_copy_of_them(tmp_path):
    maps = {f"{index}.png": np.full((256, 256), index, np.uint8) for index in range(200)}
    tracemalloc.start()
    save_maps(tmp_path / "skin.npz", maps)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2e6  # all are 13 MB
    with np.load(tmp_path / "skin.npz") as file:
        assert file["names"].tolist() == list(maps) and np.array_equal(file["maps"], np.stack(list(maps.values())))


def test_faces_wait_in_their_archive(tmp_path, monkeypatch):
    """At most as many are read ahead as there are workers."""
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as file:
        portrait_square(32).save(tmp_path / "face.png")
        for index in range(12):
            file.write(tmp_path / "face.png", f"{index}.png")
        file.writestr("labels.csv", "file\n" + "".join(f"{index}.png\n" for index in range(12)))
    waiting: list[str] = []
    ahead, real = [], Archive.read

    def reading(archive: Archive, name: str) -> bytes:
        waiting.append(name)
        ahead.append(len(waiting))
        return real(archive, name)

    def drawing(square: np.ndarray, reader: object) -> np.ndarray:
        waiting.pop()
        return np.zeros((SIDE, SIDE), np.uint8)

    class NoReader:
        def close(self) -> None:
            pass

    monkeypatch.setattr(Archive, "read", reading)
    monkeypatch.setattr(map_skin, "read_skin_map", drawing)
    monkeypatch.setattr(map_skin, "FaceReader", NoReader)
    assert draw_skin_maps([tmp_path / "faces.zip"], 2).keys() == {f"{index}.png" for index in range(12)}
    assert len(ahead) == 12 and max(ahead) <= 2
    (tmp_path / "labels.csv").write_text("name;age\n")
    with pytest.raises(ValueError, match=r"labels\.csv needs the columns file, and has no file"):
        draw_skin_maps([tmp_path], 2)


def test_what_is_no_file_of_these_faces_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m train\.map_skin"):
        load_skin_maps(tmp_path / "skin.npz", ["a.png"])
    (tmp_path / "skin.npz").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(ValueError, match="not such maps"):
        load_skin_maps(tmp_path / "skin.npz", ["a.png"])
    save_maps(tmp_path / "skin.npz", {"a.png": np.zeros((SIDE, SIDE), np.uint8)})
    with pytest.raises(ValueError, match="no map of any face of the data"):
        load_skin_maps(tmp_path / "skin.npz", ["b.png"])
    with pytest.raises(ValueError, match="no map of 1 of the 2 faces; name all archives"):
        load_skin_maps(tmp_path / "skin.npz", ["a.png", "b.png"])
    with pytest.raises(ValueError, match=r"two faces of the data are called a\.png"):
        load_skin_maps(tmp_path / "skin.npz", ["a.png", "a.png"])


def test_a_batch_has_the_maps_of_its_faces_flipped_with_them(tiny_faces, tmp_path):
    """Each face's map is its own red channel, so the two must agree after drawing and flipping."""
    faces = load_faces((str(tiny_faces),), SIDE, chips=False, cache=str(tmp_path))
    red = {name: image[0].numpy() for name, image in zip(faces.names, faces.images, strict=True)}
    save_maps(tmp_path / "skin.npz", red)
    faces = type(faces)(
        *(getattr(faces, name) for name in ("images", "ages", "female", "names", "source", "glasses")),
        load_skin_maps(tmp_path / "skin.npz", faces.names),
    )
    faces = faces.select(faces.ages >= 20)
    batch = draw_batch(faces, age_balance(faces.ages), count=8, step=1, min_gap=10)
    assert batch.background.shape == (8, 1, SIDE, SIDE)
    torch.testing.assert_close(1 - batch.background, (batch.images[:, :1] + 1) / 2, rtol=0, atol=1e-5)
    edited = torch.ones_like(batch.images)
    expected = batch.images * batch.background + (1 - batch.background)
    torch.testing.assert_close(show_on_face(edited, batch.images, batch.background), expected, rtol=0, atol=1e-5)


def test_shards_have_no_maps(tmp_path):
    config = GeneratorTraining(data=("faces-000000.tar",), skin_maps=str(tmp_path / "skin.npz"))
    with pytest.raises(ValueError, match="skin_maps: for archives only"):
        open_phase(config, None, Phase(8, 64), 0, str(tmp_path))


def portrait_square(side: int) -> Image.Image:
    """Eileen Collins (NASA, public domain), cropped roughly as FFHQ would."""
    with Image.open(ROOT / "assets" / "astronaut.jpg") as photo:
        scale = photo.width / 512
        box = tuple(round(scale * v) for v in (122, 10, 332, 220))
        return photo.convert("RGB").crop(box).resize((side, side))


@pytest.fixture
def archive(tmp_path) -> Path:
    """Eileen Collins, and a picture of nobody."""
    portrait_square(512).save(tmp_path / "her.png")
    Image.new("RGB", (512, 512), CLOTHES).save(tmp_path / "nobody.png")
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as file:
        for name in ("her.png", "nobody.png"):
            file.write(tmp_path / name, name)
        file.writestr("labels.csv", "file,age,gender\nher.png,36,female\nnobody.png,40,male\n")
    return tmp_path / "faces.zip"


def test_the_command_maps_a_portrait(archive, tmp_path, monkeypatch, capsys):
    try:
        FaceReader().close()
    except FaceReaderError as error:
        pytest.skip(str(error))
    out = tmp_path / "skin.npz"
    monkeypatch.setattr(sys, "argv", ["map_skin", "--data", str(archive), "--out", str(out), "--workers", "1"])
    main()
    assert "1 skin maps" in capsys.readouterr().out
    skin = load_skin_maps(out, ["her.png"])[0, 0].numpy()
    assert at(skin, 0.37, 0.57) > 0.9 and at(skin, 0.62, 0.57) > 0.9  # cheeks
    assert at(skin, 0.48, 0.64) < 0.2  # she smiles: teeth
    assert at(skin, 0.39, 0.43) < 0.1 and at(skin, 0.59, 0.45) < 0.1  # eyes
    assert at(skin, 0.5, 0.29) < 0.3  # her fringe
    assert at(skin, 0.08, 0.5) < 0.05 and at(skin, 0.92, 0.5) < 0.05 and at(skin, 0.5, 0.05) < 0.05
    assert 0.1 < (skin / 255).mean() < 0.5


def test_data_without_faces_is_refused(archive, tmp_path, monkeypatch):
    monkeypatch.setattr("train.map_skin.draw_skin_maps", lambda archives, workers: {})
    monkeypatch.setattr(sys, "argv", ["map_skin", "--data", str(archive), "--out", str(tmp_path / "skin.npz")])
    with pytest.raises(SystemExit, match="no face was found"):
        main()
    assert not (tmp_path / "skin.npz").exists()


def test_without_mediapipe_the_command_says_what_to_install(archive, tmp_path, monkeypatch):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "mediapipe.py").write_text("raise ImportError('No module named mediapipe')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "broken"))
    monkeypatch.setattr(sys, "argv", ["map_skin", "--data", str(archive), "--out", str(tmp_path / "skin.npz")])
    with pytest.raises(SystemExit, match=r"pip install -r requirements\.txt"):
        main()
