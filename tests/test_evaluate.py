"""Measures against known values, the do-nothing row, other methods' outputs, the judges on a public-domain photo."""
# ruff: noqa: E402 - the imports below need packages that may be missing

import hashlib
import json
import tracemalloc
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from agetransformer.checkpoint import save_checkpoint
from agetransformer.networks import Generator, GeneratorConfig

pytest.importorskip("scipy", reason="measuring needs requirements-train.txt")
skimage_data = pytest.importorskip("skimage.data", reason="measuring needs requirements-train.txt")

from train.data import held_out
from train.evaluate import (
    Edit,
    Evaluation,
    Judges,
    Measurement,
    evaluate,
    folder_editor,
    generator_editor,
    list_faces,
    measure_bias,
    measure_face,
    monotonicity,
    rank_correlation,
    stranger_distance,
    summarise,
)
from train.expression import OTHERS, Expression, ExpressionJudge, read_expression
from train.groups import generator_groups
from train.judges import AgeGenderJudge, IdentityJudge, JudgeError, Location, Verdict
from train.measures import background_change, colour_change, face_oval, laplacian_variance, percentile, to_lab
from train.report import check_goals, markdown
from train.sheet import contact_sheet


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """Eileen Collins (NASA, public domain), cropped roughly as FFHQ would."""
    return np.array(Image.fromarray(skimage_data.astronaut()).crop((122, 10, 332, 220)).resize((256, 256)))


@pytest.fixture(scope="module")
def judges() -> Judges:
    try:
        return Judges(IdentityJudge(), AgeGenderJudge())
    except JudgeError as error:
        pytest.skip(str(error))


@dataclass(frozen=True)
class BrightnessJudge:
    """Stands for both judges: reads brightness as age, and as the descriptor."""

    landmarks: np.ndarray

    def locate(self, image: np.ndarray) -> Location:
        return Location((0, 0, 9, 9), self.landmarks, True)

    def describe(self, images: Sequence[np.ndarray], location: Location) -> np.ndarray:
        return np.array([[image.mean()] for image in images])

    def judge(self, image: np.ndarray, location: Location) -> Verdict:
        return Verdict(float(image.mean()), "female" if image.mean() < 128 else "male")


def ellipse_landmarks(size: int) -> np.ndarray:
    """68 points of an upright face: a jaw line (half an ellipse) from ear to ear, brows, and the rest in the middle."""
    t = np.linspace(np.pi, 0, 17)
    points = np.full((68, 2), 0.5)
    points[:17] = np.stack([0.5 + 0.3 * np.cos(t), 0.5 + 0.4 * np.sin(t)], 1)
    points[17:27] = np.stack([np.linspace(0.3, 0.7, 10), np.full(10, 0.4)], 1)
    return points * size


# --- measures against known values


def test_laplacian_variance_of_white_noise_is_twenty_times_its_variance():
    # The kernel's squared weights sum to 4 * 1 + 16 = 20; uniform noise on 0..199 has variance (200^2 - 1) / 12.
    grey = np.random.default_rng(0).integers(0, 200, (400, 400, 1), np.uint8).repeat(3, axis=2)
    everywhere = np.ones((400, 400), bool)
    assert laplacian_variance(grey, everywhere) == pytest.approx(20 * (200**2 - 1) / 12, rel=0.02)


def test_blur_lowers_sharpness_and_only_the_mask_counts(portrait):
    blurred = np.array(Image.fromarray(portrait).filter(ImageFilter.GaussianBlur(2)))
    half = np.zeros((256, 256), bool)
    half[:, :100] = True
    mixed = np.where(half[..., None], portrait, blurred)
    inside = half.copy()
    inside[:, 98:] = False
    assert laplacian_variance(blurred, half) < 0.5 * laplacian_variance(portrait, half)
    assert laplacian_variance(mixed, inside) == laplacian_variance(portrait, inside)


def test_lab_change_between_red_and_green():
    # sRGB red is Lab (53.24, 80.09, 67.20), green (87.73, -86.18, 83.18): a changes by 166.27, b by 15.98.
    red = np.zeros((50, 100, 3), np.uint8)
    red[..., 0] = 255
    for share, expected in ((0.005, 0), (0.015, 15.98), (0.04, 166.27)):
        edited = red.copy()
        edited.reshape(-1, 3)[: round(share * 5000)] = (0, 255, 0)
        change = colour_change(to_lab(red), to_lab(edited))
        assert change.sum() == 2 * 5000
        assert percentile(change, 99) == pytest.approx(expected, abs=0.11)


def test_face_oval_holds_the_face_and_not_the_corners():
    mask = face_oval(ellipse_landmarks(200), 200)
    # Ears at y 0.5, chin at 0.9, brows at 0.4: the hairline is half the way from chin to brows further up, at 0.15.
    for x, y, inside in (
        (0.5, 0.88, 1),
        (0.5, 0.92, 0),
        (0.5, 0.17, 1),
        (0.5, 0.13, 0),
        (0.22, 0.5, 1),
        (0.18, 0.5, 0),
    ):
        assert mask[round(200 * y), round(200 * x)] == inside
    area = np.pi / 2 * 0.3 * (0.4 + 0.35)
    assert mask.mean() == pytest.approx(area, rel=0.03)
    fixed = face_oval(None, 200)
    assert fixed[100, 100] and not fixed[0, 0] and not fixed[100, 5]


def test_background_change_counts_only_outside_the_face():
    face = face_oval(ellipse_landmarks(100), 100)
    image = np.full((100, 100, 3), 100, np.uint8)
    inside = np.where(face[..., None], np.uint8(250), image)
    outside = np.where(face[..., None], image, np.uint8(93))
    assert background_change(image, inside, face) == 0
    assert background_change(image, outside, face) == 7


# --- rows of the table


def test_doing_nothing_is_exactly_neutral_and_a_change_is_not(portrait):
    judge = BrightnessJudge(ellipse_landmarks(256))
    small = np.array(Image.fromarray(portrait).resize((64, 64)))
    same = Edit(portrait, small)
    darker = Edit((portrait * 0.8).astype(np.uint8), (small * 0.8).astype(np.uint8))
    nothing, again, changed = measure_face([same, same, darker], Judges(judge, judge))
    row = summarise([nothing], [nothing], None, None)
    assert (row["gender_kept"], row["sharpness"], row["sharpness_network"]) == (1, 1, 1)
    assert (row["background"], row["colour_p99"], row["colour_p99_pooled"], row["identity"]) == (0, 0, 0, 0)
    assert row["age_error"] is None and row["age_mean"] == pytest.approx(portrait.mean(), abs=1e-3)
    assert summarise([again], [nothing], None, None) == row
    assert changed.identity == pytest.approx(portrait.mean() - darker.image.mean())
    assert changed.sharpness == pytest.approx(0.64, abs=0.03)  # the Laplacian is linear, its variance quadratic
    assert changed.background > 5


def measurement(age: float, gender: str, sharpness: float = 1.0) -> Measurement:
    colour = np.zeros(2560, np.int64)
    colour[100] = 50
    return Measurement(age, gender, sharpness, sharpness, 100.0, 2.0, colour, 0.3, np.zeros(128))


def test_summary_of_known_measurements():
    unedited = [measurement(20, "female"), measurement(30, "female"), measurement(40, "male"), measurement(50, "male")]
    edited = [measurement(50, "female", 0.5), measurement(54, "male"), measurement(58, "male"), measurement(70, "male")]
    row = summarise(edited, unedited, 60, bias=-4.0)
    assert row["age_mean"] == 58 and row["age_sd"] == pytest.approx(np.sqrt((64 + 16 + 0 + 144) / 4), abs=1e-4)
    assert row["age_error"] == (10 + 6 + 2 + 10) / 4 and row["age_error_unedited"] == 25
    assert row["age_mean_corrected"] == 62 and row["age_error_corrected"] == (6 + 2 + 2 + 14) / 4
    assert (row["gender_kept"], row["gender_kept_female"], row["gender_kept_male"]) == (0.75, 0.5, 1)
    assert row["sharpness"] == pytest.approx(0.5**0.25, abs=1e-4) and row["background"] == 2 and row["identity"] == 0.3
    assert row["colour_p99"] == pytest.approx(10) and row["colour_p99_pooled"] == pytest.approx(10)


def expressing(smile: float, emotion: str | None) -> Measurement:
    return replace(measurement(40, "male"), expression=None if emotion is None else Expression(smile, emotion))


def test_expressions_kept_count_the_faces_that_had_them():
    before = [(0.9, "happiness"), (0.4, "happiness"), (0.0, "neutral"), (0.1, "other"), (0.9, None)]
    after = [(0.8, "happiness"), (0.2, "neutral"), (0.1, "neutral"), (0.5, "happiness"), (0.9, "happiness")]
    row = summarise([expressing(*x) for x in after], [expressing(*x) for x in before], 60, None)
    # The last face was not found before; of the other four, the second stops smiling and the fourth begins.
    assert row["smile_kept"] == 0.5 and row["happiness_kept"] == 0.5 and row["neutral_kept"] == 1
    assert row["smile"] == pytest.approx((0.8 + 0.2 + 0.1 + 0.5) / 4)
    lost = summarise([expressing(0.0, None)] * 5, [expressing(*x) for x in before], 60, None)
    assert (lost["smile"], lost["smile_kept"], lost["happiness_kept"]) == (None, 0, 0)  # no face is left in them
    unjudged = summarise([measurement(40, "male")], [measurement(40, "male")], 60, None)
    assert unjudged["smile_kept"] is None and unjudged["neutral_kept"] is None


def test_expression_rules():
    still = {f"{name}{side}": 0.1 for name in ("mouthSmile", *OTHERS) for side in ("Left", "Right")}
    assert read_expression(still) == Expression(0.1, "neutral")
    assert not read_expression(still).smiling
    crooked = read_expression(still | {"mouthSmileLeft": 0.5, "mouthSmileRight": 0.2})
    assert crooked.smile == pytest.approx(0.35) and crooked.smiling and crooked.emotion == "happiness"
    assert read_expression(still | {"jawOpen": 0.7}).emotion == "other"  # this one has no left and right


def test_expression_judge_on_a_portrait(portrait):
    try:
        judge = ExpressionJudge()
    except JudgeError as error:
        pytest.skip(str(error))
    smiling = judge.judge(portrait)
    assert smiling is not None and smiling.smile > 0.6 and smiling.emotion == "happiness"  # she beams
    assert judge.judge(np.zeros((64, 64, 3), np.uint8)) is None
    judge.close()
    judge.close()


def test_without_mediapipe_the_expression_judge_says_so(monkeypatch, tmp_path):
    (tmp_path / "mediapipe.py").write_text("raise ImportError('No module named mediapipe')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(JudgeError, match=r"mediapipe.*pip install -r requirements\.txt"):
        ExpressionJudge()


def test_bias_is_the_judges_mean_error_on_faces_of_that_age(tmp_path):
    # Brightness is what the judge reads, and it is 5 above each label near 60. A chessboard of amplitude 2 leaves it.
    rows = []
    board = 2 * (np.indices((64, 64)).sum(axis=0) % 2 * 2 - 1)[..., None].repeat(3, axis=2)
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as archive:
        for index in range(14):
            age = 57 + index % 7 if index < 12 else 64 + index
            name = f"{index}.png"
            Image.fromarray((age + 5 + board).astype(np.uint8)).save(tmp_path / name)
            archive.write(tmp_path / name, name)
            rows.append(f"{name},{age},female")
        archive.writestr("labels.csv", "\n".join(["file,age,gender", *rows]))
    faces = list_faces([tmp_path / "faces.zip"])
    judge = BrightnessJudge(ellipse_landmarks(64))
    settings = Evaluation(tmp_path, (tmp_path / "faces.zip",), tmp_path, size=64)
    # The Laplacian of the board is 8 times its amplitude, with the other sign: its variance is 256.
    unedited = [replace(measurement(40, "male"), variance_small=variance) for variance in (64.0, 256.0)]
    bias = measure_bias(faces, 60, Judges(judge, judge), settings, 64, unedited)
    assert bias is not None and bias.faces == 12 and bias.years == 5 and bias.error == 0
    assert bias.judged == pytest.approx(5 + np.mean([57 + i % 7 for i in range(12)]))
    assert bias.sharpness == pytest.approx(2, abs=0.01) and bias.sharpness_error == pytest.approx(0, abs=1e-6)
    assert measure_bias(faces, 25, Judges(judge, judge), settings, 64, unedited) is None


def test_monotonicity_and_strangers():
    ages = np.array([[20, 30, 40], [20, 30, 30], [20, 10, 40], [20, 21, 22]])
    assert monotonicity(ages) == ([0.75, 0.75], 0.5)
    # Spearman with (1, 2, 3): 1; ranks 1, 2.5, 2.5: 1.5 / sqrt(2 * 1.5); ranks 2, 1, 3: 1/2; no order: 0.
    ages = np.array([[20, 30, 40], [20, 30, 30], [20, 10, 40], [20, 20, 20]])
    assert rank_correlation(ages) == pytest.approx((1 + np.sqrt(3) / 2 + 0.5 + 0) / 4, abs=1e-4)
    assert rank_correlation(ages[:, :1]) is None
    assert stranger_distance(np.array([[0.0, 0], [3, 4], [0, 0]])) == pytest.approx(10 / 3, abs=1e-4)
    assert stranger_distance(np.zeros((1, 2))) is None
    many = np.random.default_rng(0).normal(size=(600, 128))
    differences = np.linalg.norm(many[:100, None] - many[None, :100], axis=2)
    assert stranger_distance(many[:100]) == pytest.approx(differences.sum() / (100 * 99), abs=1e-4)
    tracemalloc.start()
    stranger_distance(many)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20e6  # the difference of each pair takes 370 MB, and thousands of faces all that there is


@pytest.mark.parametrize("missing", [None, "Smile and emotion are left out: no MediaPipe."])
def test_markdown_has_one_row_an_age_under_the_do_nothing_row(missing):
    unedited = [measurement(30, "female"), measurement(40, "male")]
    rows = []
    for target, judged in ((25, 28), (45, 40), (65, 61)):
        edited = [measurement(judged, "female"), measurement(judged, "male")]
        rows.append(summarise(edited, unedited, target, None) | {"rises": None})
    ages_and_groups = {target: [replace(m, age=target + 1.0) for m in unedited] for target in (25, 45, 65)}
    groups = generator_groups([28, 61], ["female", "male"], unedited, ages_and_groups)
    generator = {"always_rises": 1.0, "spearman": 0.9, "rows": rows, "groups": groups}
    result = {
        "checkpoint": "generator", "resolution": 64, "size": 128, "faces": 2, "ages": [25, 45, 65], "stranger": 0.8,
        "judge_error": 5.0, "judge_gender_agrees": 1.0, "do_nothing": summarise(unedited, unedited, None, None),
        "judge_bias": {"25": None, "65": {
            "years": -6.5, "error": 1.0, "judged": 58.6, "faces": 40, "sharpness": 1.2, "sharpness_error": 0.1,
        }},
        "expression_missing": missing, "methods": {"generator": generator},
        "table": {"young": {"faces": 2, "rows": {"generator": rows[2]}}},
    }  # fmt: skip
    text = markdown(result)
    table = text.split("\n\n")[1].splitlines()
    assert len({line.count("|") for line in table}) == 1
    assert [line.split("|")[1].strip() for line in table[2:]] == ["do nothing", "25", "45", "65"]
    assert "| 61.0 ± 0.0 |" in table[-1] and ("smile kept" in table[0]) == (missing is None)
    assert (missing or "rules on MediaPipe's blendshapes") in text
    assert "| female | 20-29 | 1 (few) | 2.0 | 1.0 (+1.0) |" in text
    assert "| 65 ± 3 | 40 | 58.6 | -6.5 ± 1.0 | 1.20 ± 0.10 |" in text
    assert "| 25 ± 3 | fewer than 10 | - | - | - |" in text
    published = text.split("\n\n")[-1].splitlines()
    assert len({line.count("|") for line in published}) == 1
    assert published[2].startswith("| generator, young (2) | ours | 61.0 ± 0.0 | - |")
    assert published[-1] == (
        "| Yao et al. | the paper's | 54.77 ± 8.40 | - | - | 2.15 | 97.1 % | 96.3 % | 91.3 % | 92.7 % |"
    )
    assert all(met for _, _, met in check_goals(rows))
    worse = [*rows[:2], rows[2] | {"age_mean": 39.0, "gender_kept": 0.94, "background": 4.1}]
    assert [met for _, _, met in check_goals(worse)] == [False, False, True, False, False, True]


# --- editors and files


def test_generator_edits_at_its_own_resolution_and_adds_the_change(portrait):
    generator = Generator(GeneratorConfig(resolution=64, residual=True)).eval()
    with torch.no_grad():
        generator.decoder.conv3.weight.zero_()
        generator.decoder.conv3.bias.zero_()
    edit = generator_editor(generator, (25, 65), torch.device("cpu"))
    edits = edit(portrait, "x.webp")
    assert len(edits) == 2 and edits[0].small.shape == (64, 64, 3)
    np.testing.assert_array_equal(edits[1].image, portrait)  # no change: every pixel is the photo's own
    with torch.no_grad():
        generator.decoder.conv3.bias[:] = torch.tensor([10, 0, -10]) / 127.5
    changed = edit(portrait, "x.webp")[0].image.astype(int)
    expected = np.clip(portrait + np.array([10, 0, -10]), 0, 255)
    inner = (portrait > 20) & (portrait < 235)  # away from the clamp
    assert np.abs(changed - expected)[inner].max() <= 1


def test_folder_of_another_method(tmp_path, portrait):
    for age in (25, 65):
        Image.fromarray(portrait // (1 + (age == 65))).save(tmp_path / f"00123_age_{age}.png")
    young, old = folder_editor(tmp_path, (25, 65), 64)(portrait, "00123.webp")
    np.testing.assert_array_equal(young.image, portrait)
    np.testing.assert_array_equal(old.image, portrait // 2)
    assert old.small.shape == (64, 64, 3)
    with pytest.raises(FileNotFoundError, match=r"00123_age_35\.png"):
        folder_editor(tmp_path, (35,), 64)(portrait, "00123.webp")


def test_bad_archives_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such archive"):
        list_faces([tmp_path / "none.zip"])
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"not a zip")
    with pytest.raises(ValueError, match="not a zip"):
        list_faces([broken])
    with zipfile.ZipFile(tmp_path / "short.zip", "w") as archive:
        archive.writestr("labels.csv", "file,age,gender\nx.webp,30,female\n")
    (face,) = list_faces([tmp_path / "short.zip"])
    with pytest.raises(ValueError, match=r"names x\.webp, which is not there"):
        face.read(64)


def faces_zip(path: Path, table: str | bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.csv", table)
        for index in range(3):
            Image.new("RGB", (8, 8), (60 * index, 0, 0)).save(path.with_name("x.png"))
            archive.write(path.with_name("x.png"), f"{index}.png")
    return path


def test_what_prepare_made_up_is_no_face(tmp_path):
    rows = "file,age,gender,synthetic\n0.png,30,female,0\n1.png,40,male,1\n2.png,50,male,0\n"
    assert [face.name for face in list_faces([faces_zip(tmp_path / "faces.zip", rows)])] == ["0.png", "2.png"]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("file,age,gender\n0.png,30,female\n1.png,40,Male\n", r"labels\.csv, 1\.png: gender is female or male"),
        ("file,age,gender\n0.png,nan,female\n", r"labels\.csv, 0\.png: age is years from 0 to 119, not 'nan'"),
        ("file;age;gender\n0.png;30;female\n", r"needs the columns file, age, gender, and has no file, age, gender"),
        ("file,age,gender\nZoë.png,30,female\n".encode("cp1252"), r"labels\.csv: not UTF-8 .*CSV UTF-8"),
    ],
)
def test_labels_that_are_none_are_named(table, sentence, tmp_path):
    faces_zip(tmp_path / "faces.zip", table)
    (tmp_path / "labels.csv").write_bytes(table.encode() if isinstance(table, str) else table)
    for archive in (tmp_path / "faces.zip", tmp_path):
        with pytest.raises(ValueError, match=sentence) as raised:
            list_faces([archive])
        assert str(archive) in str(raised.value)


def test_a_changed_byte_is_named_and_the_zip_is_opened_once(tmp_path, monkeypatch):
    table = "file,age,gender\n0.png,30,female\n1.png,40,male\n2.png,50,male\n"
    path = faces_zip(tmp_path / "faces.zip", table)
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("1.png").header_offset + 60  # within the image
    data = bytearray(path.read_bytes())
    data[start] ^= 255
    path.write_bytes(data)
    faces, opened = list_faces([path]), []
    real = zipfile.ZipFile
    monkeypatch.setattr(zipfile, "ZipFile", lambda *given, **more: opened.append(given) or real(*given, **more))
    assert faces[0].read(8).max() == 0 and faces[2].read(8).max() == 120
    with pytest.raises(ValueError, match=r"faces\.zip: 1\.png is damaged \(Bad CRC-32"):
        faces[1].read(8)
    assert opened == []


def test_contact_sheet_places_images(portrait):
    black, white = np.zeros((10, 10, 3), np.uint8), np.full((10, 10, 3), 255, np.uint8)
    sheet = np.array(contact_sheet([[black, white], [white, black]], ["a", "b"], 20))
    assert sheet.shape[1] == 40
    assert sheet[-1, -1].max() == 0 and sheet[-1, 0].min() == 255 and sheet[-40, 0].max() == 0
    with pytest.raises(ValueError, match="rows of 2"):
        contact_sheet([[black]], ["a", "b"], 20)


# --- the real judges


@pytest.mark.parametrize("judge", [IdentityJudge, AgeGenderJudge])
def test_missing_package_names_the_pip_line(judge, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(JudgeError, match=r"missing: pip install -r requirements-train\.txt"):
        judge()


def test_judges_on_a_portrait(judges, portrait):
    location = judges.identity.locate(portrait)
    assert location.found
    left, top, right, bottom = location.box
    assert left < 100 < right and top < 115 < bottom  # between the eyes
    assert 70 < location.landmarks[36:42, 0].mean() < 120 < location.landmarks[42:48, 0].mean() < 165
    verdict = judges.age_gender.judge(portrait, location)
    assert verdict.gender == "female" and 20 <= verdict.age <= 45  # she was 36
    darker = (portrait * 0.7).astype(np.uint8)
    first, same, dark, noise = judges.identity.describe(
        [portrait, portrait, darker, np.random.default_rng(0).integers(0, 256, portrait.shape, np.uint8)], location
    )
    np.testing.assert_array_equal(first, same)
    assert np.linalg.norm(dark - first) < 0.3 < 0.6 < np.linalg.norm(noise - first)


def test_no_face_takes_the_fixed_frame(judges):
    location = judges.identity.locate(np.zeros((256, 256, 3), np.uint8))
    assert not location.found and location.box == (49, 74, 205, 230)


def test_whole_evaluation(judges, portrait, tmp_path):
    names = [f"{i:05}.png" for i in range(2000)]
    unseen = [name for name, held in zip(names, held_out(tuple(names)).tolist(), strict=True) if held][:2]
    archive = tmp_path / "faces.zip"
    other = tmp_path / "other"
    other.mkdir()
    with zipfile.ZipFile(archive, "w") as file:
        rows = [f"{name},36,female" for name in unseen]
        file.writestr("labels.csv", "\n".join(["file,age,gender", *rows]) + "\n")
        for name, image in zip(unseen, (portrait, portrait[:, ::-1]), strict=True):
            Image.fromarray(image).save(tmp_path / name)
            file.write(tmp_path / name, name)
            for age in (25, 65):
                Image.fromarray(image).save(other / f"{Path(name).stem}_age_{age}.png")  # another way to do nothing
    checkpoint = save_checkpoint(Generator(GeneratorConfig(resolution=32, residual=True)), tmp_path / "tiny")
    settings = Evaluation(
        checkpoint, (archive,), tmp_path / "out", size=256, ages=(65, 25), compare={"same": other}, device="cpu"
    )
    result = evaluate(settings)
    assert json.loads((settings.out / "metrics.json").read_text()) == result
    assert result["faces"] == 2 and result["ages"] == [25, 65]
    unchanged = result["methods"]["same"]["rows"][0]
    for key in ("age_mean", "gender_kept", "sharpness", "sharpness_network", "background", "colour_p99", "identity"):
        assert unchanged[key] == result["do_nothing"][key]
    assert result["methods"]["tiny"]["rows"][0]["background"] > 0
    assert "| same 65 |" in (settings.out / "metrics.md").read_text()
    everyone, women, *_ = result["methods"]["same"]["groups"]
    assert (everyone["faces"], everyone["gender"], everyone["ages"]) == (2, "all", "all")
    assert everyone["targets"]["65"]["age_error"] == result["methods"]["same"]["rows"][1]["age_error"]
    assert everyone["targets"]["65"]["gender_kept"] == 1 and women["ages"] == "30-39"
    assert result["sha256"] == hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    table = result["table"]["young"]  # both are labelled 36; `same` has no outputs at 60
    assert table["faces"] == 2 and list(table["rows"]) == ["do nothing", "tiny"]
    if result["expression_missing"] is None:
        assert unchanged["smile_kept"] == 1 and result["do_nothing"]["smile"] > 0.6
    assert Image.open(settings.out / "sheet.png").width == 3 * 256
    assert Image.open(settings.out / "sheet_detail.png").width == 3 * 256
    (other / f"{Path(unseen[1]).stem}_age_65.png").unlink()
    with pytest.raises(FileNotFoundError, match="_age_65"):
        evaluate(settings)
