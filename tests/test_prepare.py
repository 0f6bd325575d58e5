"""A folder of photos becomes a data set: real photos through the real aligner and V, exact counts, kills, bad input."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import hub_server
import numpy as np
import pytest
import torch
from PIL import Image

from agetransformer import json_lines
from train import prepare as preparing
from train.aligning import Aligning, AligningError, Request, align_photos
from train.balance import choose_balanced, count_ages
from train.data import held_out, load_faces
from train.histogram import age_histogram
from train.journal import open_journal
from train.prepare import list_photos, main, name_faces
from train.synthetic import SourceError, draw, open_source

ROOT = Path(__file__).parent.parent
ASSETS = ROOT / "assets"
V = ROOT / "checkpoints" / "classifier"

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")


def grey_faces(count: int, seed: int) -> np.ndarray:
    """A source of synthetic faces: squares of one grey each, for ages 18..72."""
    greys = 3 * np.random.default_rng(seed).integers(18, 73, count, dtype=np.uint8)
    return np.broadcast_to(greys[:, None, None, None], (count, 40, 40, 3)).copy()


def wrong_faces(count: int, seed: int) -> np.ndarray:
    return np.zeros((count, 3, 40, 40), np.float32)


class TinyGenerator(torch.nn.Module):
    """Takes z as NVlabs' generators do; a picture whose brightness is that of z's first number."""

    def __init__(self) -> None:
        super().__init__()
        self.z_dim = 8

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return z[:, :1, None, None].expand(-1, 3, 40, 40) * 0.5


@pytest.fixture(scope="module")
def scripted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scripted") / "generator.pt"
    torch.jit.script(TinyGenerator()).save(str(path))
    return path


@pytest.fixture
def grey_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """V's place is taken by a third of the brightness, so that every count is known; odd ages are women."""

    def read(classifier: object, images: np.ndarray) -> list[tuple[float, str]]:
        ages = (images.mean(axis=(1, 2, 3)) / 3).round().astype(int).tolist()
        return [(float(age), ("male", "female")[age % 2]) for age in ages]

    monkeypatch.setattr(preparing, "read_labels", read)


def grey_photos(folder: Path, ages: list[int]) -> Path:
    folder.mkdir()
    for index, age in enumerate(ages):
        picture = np.full((48, 48, 3), 3 * age, np.uint8)
        picture[:4, : 1 + index] += 1  # no two files are the same
        Image.fromarray(picture).save(folder / f"{index:03d}.png")
    return folder


def labels(archive: Path) -> list[dict[str, str]]:
    with zipfile.ZipFile(archive) as file:
        return list(csv.DictReader(io.TextIOWrapper(file.open("labels.csv"), "utf-8")))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def run(folder: Path, out: Path, *more: object) -> int:
    arguments = [folder, "--out", out, "--classifier", V, "--size", 40, "--workers", 1, "--device", "cpu", *more]
    return main([str(argument) for argument in arguments])


# --- photos to archive, with the real aligner and V


def test_real_photos_become_a_data_set(tmp_path, capsys):
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    shutil.copy(ASSETS / "astronaut.jpg", photos / "Bà Tư.jpg")
    shutil.copy(ASSETS / "astronaut.jpg", photos / "copy.jpg")
    Image.open(ASSETS / "astronaut.jpg").rotate(90, expand=True).save(photos / "deep" / "turned.png")
    shutil.copy(ASSETS / "grace_hopper.jpg", photos / "deep" / "hopper.jpg")
    (photos / "broken.jpg").write_bytes((ASSETS / "astronaut.jpg").read_bytes()[:3000])
    Image.new("RGB", (200, 200), "green").save(photos / "meadow.png")
    (photos / "notes.txt").write_text("no photo")
    out = tmp_path / "faces.zip"

    assert run(photos, out, "--size", 96, "--min-side", 150) == 0
    printed = capsys.readouterr()
    assert "broken.jpg: skipped: The photo is damaged" in printed.err
    rows = {row["photo"]: row for row in table(tmp_path / "faces-photos.csv")}
    assert rows["copy.jpg"]["outcome"] == "the same file as Bà Tư.jpg"
    assert rows["meadow.png"]["outcome"] == "no face"
    assert len(rows) == 6
    woman, turned, hopper = rows["Bà Tư.jpg"], rows["deep/turned.png"], rows["deep/hopper.jpg"]
    assert woman["gender"] == "female" and 25 <= float(woman["age"]) <= 45  # Eileen Collins was about 36
    assert abs(float(turned["age"]) - float(woman["age"])) < 5  # brought upright
    assert float(hopper["age"]) > float(woman["age"]) + 15  # Grace Hopper was 77
    taken = [row for row in rows.values() if row["outcome"] == "taken"]
    assert woman in taken and turned in taken

    faces = load_faces((str(out),), 64, chips=False, cache=str(tmp_path / "cache"))
    assert len(faces) == len(taken) and faces.images.shape[1:] == (3, 64, 64)
    index = faces.names.index("photos/Bà Tư.webp")
    assert faces.ages[index].item() == pytest.approx(float(woman["age"])) and faces.female[index] == 1
    with zipfile.ZipFile(out) as archive:  # the same square as the app's
        square = Image.open(archive.open("photos/Bà Tư.webp"))
        assert square.size == (96, 96)
    from agetransformer.alignment import FaceFinder, align

    photo = Image.open(ASSETS / "astronaut.jpg")
    with FaceFinder() as finder:
        expected = align(np.asarray(photo), finder.find(photo)[0], 96)
    assert np.abs(np.asarray(square).astype(int) - expected).mean() < 3  # of 255: WebP
    assert not (tmp_path / "faces-work").exists()


def test_small_faces_are_left_out_and_named(tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy(ASSETS / "astronaut.jpg", photos)
    assert run(photos, tmp_path / "faces.zip", "--min-side", 400) == 2
    assert "none of the 1 photos" in (message := capsys.readouterr().err) and "faces too small" in message
    assert [row["outcome"] for row in table(tmp_path / "faces-photos.csv")] == ["faces too small"]
    assert not (tmp_path / "faces.zip").exists()


def test_training_does_not_load_mediapipe():
    code = "import sys, train.prepare; print([m for m in ('mediapipe', 'gradio') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- balance


def test_bins_are_cut_at_random_and_filled_where_they_miss(tmp_path, grey_labels):
    ages = [25] * 5 + [30] * 2 + [69, 19, 70]
    photos = grey_photos(tmp_path / "photos", ages)
    out = tmp_path / "faces.zip"
    source = ("--synthetic", "test_prepare:grey_faces", "--per-age", 3)
    assert run(photos, out, "--aligned", *source) == 0
    rows = labels(out)
    assert count_ages([float(row["age"]) for row in rows]) == dict.fromkeys(range(20, 70), 3)
    real = [row for row in rows if row["synthetic"] == "0"]
    assert sorted(float(row["age"]) for row in real) == [25] * 3 + [30] * 2 + [69]
    for row in table(tmp_path / "faces-ages.csv"):
        year = int(row["age"])
        found = ages.count(year)
        assert int(row["found"]) == found and int(row["taken"]) == min(found, 3)
        assert int(row["synthetic"]) == 3 - min(found, 3) and row["missing"] == "0"
    outcomes = [row["outcome"] for row in table(tmp_path / "faces-photos.csv")]
    assert outcomes.count("enough of this age") == 2 and outcomes.count("age outside 20..69") == 2
    faces = load_faces((str(out),), 40, chips=False, cache=str(tmp_path / "cache"))
    assert (
        faces.images.float().mean(dim=(1, 2, 3)) / 3 - faces.ages
    ).abs().max() < 0.5  # each picture has its own label
    assert torch.equal(faces.female, (faces.ages % 2 == 1).float())
    assert len(set(faces.names)) == len(faces) == 150
    assert Image.open(tmp_path / "faces-ages.png").size == (1000, 420)


def test_without_a_source_bins_stay_short_and_the_limit_ends_the_search(tmp_path, grey_labels, capsys):
    photos = grey_photos(tmp_path / "photos", [25, 25, 30])
    assert run(photos, tmp_path / "a.zip", "--aligned", "--per-age", 1) == 0
    assert [row["age"] for row in labels(tmp_path / "a.zip")] == ["25.00", "30.00"]
    assert "48 of 50 ages have fewer than 1" in capsys.readouterr().out
    limit = ("--synthetic", "test_prepare:grey_faces", "--synthetic-limit", 8, "--batch", 4, "--per-age", 9)
    assert run(photos, tmp_path / "b.zip", "--aligned", *limit) == 0
    drawn = np.concatenate([grey_faces(4, seed)[:, 0, 0, 0] for seed in (0, 1)]) / 3
    expected = sorted(float(age) for age in drawn if 20 <= age <= 69)
    rows = labels(tmp_path / "b.zip")
    assert sorted(float(row["age"]) for row in rows if row["synthetic"] == "1") == expected


def test_the_cut_is_uniform_and_follows_the_seed():
    ages = [25.4] * 40 + [33.0] * 3
    counts = np.zeros(43)
    for seed in range(400):
        kept = choose_balanced(ages, 10, seed)
        assert len(kept) == 13 and kept[-3:] == [40, 41, 42]
        counts[kept] += 1
    assert choose_balanced(ages, 10, 7) == choose_balanced(ages, 10, 7)
    # Each of the forty is kept in a quarter of the draws: 100 of 400, standard deviation 8.7.
    assert counts[:40].min() > 60 and counts[:40].max() < 140


def test_histogram_shows_the_counts():
    years = range(20, 70)
    found, real, made = (dict.fromkeys(years, 0) for _ in range(3))
    found[25], real[25], made[60] = 100, 50, 50
    picture = np.asarray(age_histogram(found, real, made))[60:370]
    heights = {colour: (picture == colour).all(axis=2).any(axis=1).sum() for colour in
               ((0xC8, 0xC8, 0xC8), (0x30, 0x60, 0xA8), (0xE0, 0x90, 0x30))}  # fmt: skip
    grey, blue, orange = heights.values()
    assert grey == 310 and blue == pytest.approx(160, abs=2) and orange == pytest.approx(160, abs=2)
    columns = (picture == (0xE0, 0x90, 0x30)).all(axis=2).any(axis=0).nonzero()[0]
    assert abs(columns.mean() - (70 + (60 - 20 + 0.5) * 915 / 50)) < 2


# --- going on after a kill


def test_a_killed_run_goes_on_to_the_same_archive(tmp_path):
    """A real SIGKILL while photos are being aligned, then the same command again."""
    photos = tmp_path / "photos"
    photos.mkdir()
    portrait = Image.open(ASSETS / "astronaut.jpg")
    for index in range(12):
        portrait.crop((index, 0, 512, 512)).save(photos / f"{index}.png")
    command = [sys.executable, "-m", "train.prepare", photos, "--size", "64", "--workers", "1", "--classifier", V]
    out = tmp_path / "faces.zip"
    command = [str(part) for part in (*command, "--device", "cpu", "--out", out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    journal = tmp_path / "faces-work" / "aligned.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.is_file() and journal.read_bytes().count(b"\n") >= 3):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = journal.read_bytes().count(b"\n") - 1
    assert done < 12 and not out.exists()
    with journal.open("ab") as file:  # and a line that was cut off
        file.write(b'{"photo": "11.p')
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "faces-work" / "photos").glob("*.webp")}
    arguments = ("--size", 64, "--keep-work")
    assert run(photos, out, *arguments) == 0
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "faces-work" / "photos").glob("*.webp")}
    assert len(again) == 12 and sum(again[name] == stamp for name, stamp in before.items()) >= done
    assert run(photos, tmp_path / "whole.zip", *arguments) == 0
    assert out.read_bytes() == (tmp_path / "whole.zip").read_bytes()
    assert len(labels(out)) == 12


class Killed(BaseException):
    pass


@pytest.mark.parametrize(("step", "call"), [("read_labels", 3), ("draw", 4), ("write_archive", 1)])
def test_a_kill_at_any_later_step_changes_nothing(step, call, tmp_path, grey_labels, monkeypatch):
    photos = grey_photos(tmp_path / "photos", [25] * 5 + [30] * 4 + [50])
    arguments = ("--aligned", "--per-age", 2, "--batch", 4, "--synthetic", "test_prepare:grey_faces")
    assert run(photos, tmp_path / "whole.zip", *arguments) == 0
    real, calls = getattr(preparing, step), []

    def killed(*values: object) -> object:
        calls.append(1)
        if len(calls) == call:  # the first draw is the check of the source
            raise Killed
        return real(*values)

    monkeypatch.setattr(preparing, step, killed)
    with pytest.raises(Killed):
        run(photos, tmp_path / "cut.zip", *arguments)
    assert not (tmp_path / "cut.zip").exists()
    first = len(calls)
    monkeypatch.setattr(preparing, step, lambda *values: (calls.append(1), real(*values))[1])
    assert run(photos, tmp_path / "cut.zip", *arguments) == 0
    assert (tmp_path / "cut.zip").read_bytes() == (tmp_path / "whole.zip").read_bytes()
    whole = len(calls) - first
    calls.clear()
    assert run(photos, tmp_path / "other.zip", *arguments) == 0
    assert len(calls) - whole == (0 if step == "write_archive" else 2)  # what was done before was not done again


def test_a_journal_of_other_settings_begins_anew(tmp_path):
    path = tmp_path / "journal.jsonl"
    with open_journal(path, {"size": 1}) as (entries, append):
        assert entries == []
        append({"x": 1})
        append({"x": 2})
    path.write_bytes(path.read_bytes() + b'{"x": 3')
    with open_journal(path, {"size": 1}) as (entries, append):
        assert entries == [{"x": 1}, {"x": 2}]
        append({"x": 4})
    with open_journal(path, {"size": 1}) as (entries, _):
        assert [entry["x"] for entry in entries] == [1, 2, 4]
    with open_journal(path, {"size": 2}) as (entries, _):
        assert entries == []


def test_another_archive_of_the_same_photos_uses_the_kept_work(tmp_path, grey_labels, monkeypatch):
    photos = grey_photos(tmp_path / "photos", [25, 30, 40])
    out = tmp_path / "faces.zip"
    assert run(photos, out, "--aligned", "--keep-work") == 0
    out.unlink()
    Image.new("RGB", (48, 48), (99, 99, 99)).save(photos / "new.png")
    asked = []
    real = preparing.align_photos

    def recording(requests: list[Request], *more: object) -> object:
        asked.extend(request.photo.name for request in requests)
        return real(requests, *more)

    monkeypatch.setattr(preparing, "align_photos", recording)
    assert run(photos, out, "--aligned", "--per-age", 1) == 0
    assert asked == ["new.png"]
    assert [float(row["age"]) for row in labels(out)] == [25, 30, 40, 33]


# --- sources of synthetic faces


def test_torchscript_file_and_its_seed(scripted):
    source = open_source(str(scripted), torch.device("cpu"))
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    images = draw(source, 6, 3)
    assert torch.equal(torch.random.get_rng_state(), state)
    z = torch.randn(6, 8, generator=torch.Generator().manual_seed(3))[:, 0]
    expected = (z * 0.5 * 127.5 + 127.5).clamp(0, 255).numpy()
    assert images.shape == (6, 40, 40, 3) and np.abs(images[:, 0, 0, 0] - expected).max() <= 0.5
    np.testing.assert_array_equal(draw(source, 6, 3), images)
    assert (draw(source, 6, 4) != images).any()


class FixedBatch(torch.nn.Module):
    """As StyleGAN2's fused modulated convolution: the batch size is a number of the trace."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        batch = int(z.shape[0])
        images = z[:, :3, None, None].expand(-1, -1, 8, 8).reshape(1, batch * 3, 8, 8)
        weight = torch.ones(batch * 3, 3, 1, 1) / 3
        return torch.nn.functional.conv2d(images, weight, groups=batch).reshape(batch, 3, 8, 8)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_a_trace_of_one_face_draws_many(tmp_path):
    path = tmp_path / "traced.pt"
    torch.jit.trace(FixedBatch(), torch.randn(1, 512)).save(str(path))
    images = draw(open_source(str(path), torch.device("cpu")), 4, 7)
    z = torch.randn(4, 512, generator=torch.Generator().manual_seed(7))[:, :3].mean(dim=1)
    expected = (z * 127.5 + 127.5).clamp(0, 255).numpy()
    assert np.abs(images[:, 0, 0, 0] - expected).max() <= 0.51


def test_source_on_the_hub_is_pinned_to_a_commit(scripted, tmp_path):
    server = hub_server.HubServer({"nets/generator.pt": scripted.read_bytes()})
    try:
        device = torch.device("cpu")
        first = server.branches["main"]
        spec = f"{hub_server.REPO}:nets/generator.pt"
        source = open_source(spec, device, endpoint=server.endpoint, cache_dir=tmp_path)
        assert source.identity == f"{hub_server.REPO}@{first}:nets/generator.pt"
        np.testing.assert_array_equal(draw(source, 4, 1), draw(open_source(str(scripted), device), 4, 1))
        server.commit({"nets/generator.pt": b"not a generator"})
        old = f"{hub_server.REPO}@{first}:nets/generator.pt"
        assert open_source(old, device, endpoint=server.endpoint, cache_dir=tmp_path).identity == source.identity
        with pytest.raises(SourceError, match="not a TorchScript file"):
            open_source(spec, device, endpoint=server.endpoint, cache_dir=tmp_path)
        with pytest.raises(SourceError, match=r"none\.pt of someone/age-model cannot be had"):
            open_source(f"{hub_server.REPO}:none.pt", device, endpoint=server.endpoint, cache_dir=tmp_path)
    finally:
        server.stop()


def test_a_pickle_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "ran",))

    torch.save(Trap(), tmp_path / "stylegan.pkl")
    with pytest.raises(SourceError, match="not a TorchScript file"):
        open_source(str(tmp_path / "stylegan.pkl"), torch.device("cpu"))
    assert not (tmp_path / "ran").exists()


def test_wrong_sources_are_named(scripted):
    device = torch.device("cpu")
    for spec, sentence in (
        ("no_such_module:sample", "cannot be imported"),
        ("test_prepare:nothing", "cannot be imported"),
        ("test_prepare:ROOT", "is not a function"),
        ("nowhere.pt", "no such file"),
    ):
        with pytest.raises(SourceError, match=sentence):
            open_source(spec, device)
    with pytest.raises(SourceError, match=r"expected a NumPy array of square faces.*float32 \(2, 3, 40, 40\)"):
        draw(open_source("test_prepare:wrong_faces", device), 2, 0)


def test_a_source_that_does_not_fit_the_archive_is_refused_before_the_work(tmp_path, scripted, capsys):
    photos = grey_photos(tmp_path / "photos", [25])
    for size, source, sentence in (
        (48, scripted, "makes faces of 40 px; take --size 40"),
        (40, "test_prepare:wrong_faces", "expected a NumPy array of square faces"),
    ):
        assert run(photos, tmp_path / "faces.zip", "--aligned", "--size", size, "--synthetic", source) == 2
        assert sentence in capsys.readouterr().err
        assert not (tmp_path / "faces-work").exists()


# --- bad input


def test_bad_folders_have_a_sentence_and_exit_code_2(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no photo")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "a.jpg").write_bytes(b"")
    photos = grey_photos(tmp_path / "photos", [25])
    (tmp_path / "there.zip").write_bytes(b"")
    for folder, out, more, sentence in (
        (tmp_path / "empty", "faces.zip", (), "no photos here"),
        (tmp_path / "none", "faces.zip", (), "no such folder"),
        (broken, "faces.zip", ("--aligned",), "none of the 1 photos in .* gave a face .*The file is empty"),
        (photos, "there.zip", (), "is there already"),
        (photos, "photos/faces.zip", (), "lies in the folder of photos"),
        (photos, "faces.zip", ("--classifier", tmp_path / "no-v"), "no config.json here"),
    ):
        assert run(folder, tmp_path / out, *more) == 2, sentence
        error = capsys.readouterr().err
        assert re.search(sentence, error) and "Traceback" not in error
    for arguments in (("--per-age", 0), ("--out", tmp_path / "faces.tar")):
        with pytest.raises(SystemExit) as stop:
            run(photos, tmp_path / "faces.zip", *arguments)
        assert stop.value.code == 2


def test_names_stay_and_never_collide(tmp_path):
    photos = ["a.JPG", "a.png", "A.webp", "a_face2.jpg", "b/a.jpg", "00123.png"]
    stems = name_faces(sorted(photos))
    assert stems["00123.png"] == "photos/00123" and stems["b/a.jpg"] == "photos/b/a"
    faces = [f"{stem}{more}.webp".casefold() for stem in stems.values() for more in ("", "_face2", "_face3")]
    assert len(set(faces)) == 3 * len(photos)
    # A photo is held out of this data set exactly when it is held out of one that holds it under its own name.
    names = [f"{index:05d}.webp" for index in range(200)]
    prepared = name_faces(names)
    assert torch.equal(held_out(tuple(f"{prepared[name]}.webp" for name in names)), held_out(tuple(names)))


def test_of_one_photo_in_two_formats_one_is_taken(tmp_path, grey_labels):
    """Their names say that they are one; under two, one could be held out and the other trained on."""
    photos = grey_photos(tmp_path / "photos", [25, 30])
    Image.new("RGB", (48, 48), (120, 120, 120)).save(photos / "000.webp")
    (photos / "deep").mkdir()
    Image.new("RGB", (48, 48), (150, 150, 150)).save(photos / "deep" / "000.webp")
    assert run(photos, tmp_path / "faces.zip", "--aligned") == 0
    assert sorted(row["file"] for row in labels(tmp_path / "faces.zip")) == [
        "photos/000.webp", "photos/001.webp", "photos/deep/000.webp",
    ]  # fmt: skip
    (left_out,) = (row for row in table(tmp_path / "faces-photos.csv") if row["outcome"] != "taken")
    assert left_out["photo"] == "000.webp"
    assert left_out["outcome"] == "the same name as 000.png; rename it if it is another photo"


def test_hidden_files_are_no_photos(tmp_path):
    for name in ("b.png", "A.JPG", "._b.png", ".thumbs/c.png", "d/e.webp", "f.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert list_photos(tmp_path) == ["A.JPG", "b.png", "d/e.webp"]


@pytest.fixture
def dying_worker(tmp_path, monkeypatch) -> Path:
    """The worker is replaced by a process that dies on photos called bad; returns the list of what it was asked."""
    fake, asked = tmp_path / "agetransformer", tmp_path / "asked"
    fake.mkdir()
    (fake / "align_worker.py").write_text(
        "import json, os, sys\n"
        "from PIL import Image\n"
        "print(json.dumps({'ready': True}), flush=True)\n"
        "for line in sys.stdin:\n"
        f"    print(line, end='', file=open({str(asked)!r}, 'a'))\n"
        "    request = json.loads(line)\n"
        "    if 'bad' in request['photo']: os._exit(9)\n"
        "    face = request['stem'] + '.webp'\n"
        "    if os.path.exists(request['photo']):\n"
        "        os.makedirs(os.path.dirname(face), exist_ok=True)\n"
        "        Image.open(request['photo']).save(face)\n"
        "    print(json.dumps({'faces': [face], 'small': 0, 'sha256': request['photo']}), flush=True)\n"
    )
    monkeypatch.setattr(json_lines, "__file__", str(fake / "json_lines.py"))
    return asked


def test_a_photo_that_kills_its_worker_is_named_and_the_next_is_served(tmp_path, dying_worker):
    settings, log = Aligning(64, 32), tmp_path / "log"

    def ask(*names: str, again: bool = False) -> dict[str, dict]:
        requests = [Request(Path(name), tmp_path / name) for name in names]
        return {request.photo.name: answer for request, answer in align_photos(requests, settings, 1, log, again)}

    answers = ask("one", "bad", "two")
    assert answers["bad"] == {"died": "the aligning process died on it (exit code 9)"}
    assert answers["one"]["sha256"] == "one" and answers["two"]["sha256"] == "two"
    with pytest.raises(AligningError, match="3 times in a row"):
        ask("bad1", "bad2", "bad3", "one")
    answers = ask("bad1", "bad2", "bad3", "one", again=True)
    assert ["died" in answer for answer in answers.values()] == [True, True, True, False]
    (tmp_path / "agetransformer" / "align_worker.py").write_text(
        "import json\nprint(json.dumps({'fatal': 'No library.'}))\n"
    )
    with pytest.raises(AligningError, match="No library"):
        ask("one")


def test_photos_that_kill_workers_one_after_the_other_do_not_stop_the_same_command(
    tmp_path, dying_worker, grey_labels, monkeypatch, capsys
):
    photos = grey_photos(tmp_path / "photos", [25, 30, 40])
    for index in range(4):
        (photos / f"000-bad{index}.png").write_bytes(b"x" * index)
    arguments = (photos, tmp_path / "faces.zip", "--keep-work")
    assert run(*arguments) == 1
    assert "3 times in a row" in capsys.readouterr().err
    labelled = []
    monkeypatch.setattr(preparing, "read_labels", lambda *values: labelled.append(1) or 1 / 0)
    with pytest.raises(ZeroDivisionError):  # a kill when all are aligned
        run(*arguments)
    requests = dying_worker.read_text()
    asked = [Path(json.loads(line)["photo"]).name for line in requests.splitlines()]
    bad, good = [f"000-bad{index}.png" for index in range(4)], ["000.png", "001.png", "002.png"]
    assert asked == [*bad[:3], bad[3], *good, *bad]  # three before the error, then what is new, then each once more
    labels_before = (tmp_path / "faces-work" / "labels.jsonl").read_bytes()
    monkeypatch.setattr(preparing, "read_labels", lambda classifier, images: [(30.0, "male")] * len(images))
    assert run(*arguments) == 0
    assert dying_worker.read_text() == requests  # the second death was the last
    assert (tmp_path / "faces-work" / "labels.jsonl").read_bytes().startswith(labels_before)
    outcomes = {row["photo"]: row["outcome"] for row in table(tmp_path / "faces-photos.csv")}
    assert all(outcomes[name] == "skipped: the aligning process died on it (exit code 9), twice" for name in bad)
    assert len(labels(tmp_path / "faces.zip")) == 3


def test_a_folder_that_cannot_be_written_is_fatal_and_not_the_photos_fault(tmp_path):
    photo = grey_photos(tmp_path / "photos", [25]) / "000.png"
    (tmp_path / "blocked").write_bytes(b"a file where a folder belongs")
    with pytest.raises(AligningError, match="cannot write"):
        list(
            align_photos(
                [Request(photo, tmp_path / "blocked" / "000")], Aligning(40, 20, aligned=True), 1, tmp_path / "log"
            )
        )


def test_a_moved_work_folder_goes_on(tmp_path, grey_labels, monkeypatch):
    photos = grey_photos(tmp_path / "photos", [25])
    assert run(photos, tmp_path / "faces.zip", "--aligned", "--keep-work") == 0
    journal = tmp_path / "faces-work" / "aligned.jsonl"
    head, line = journal.read_text().splitlines()
    assert json.loads(line)["answer"]["faces"] == ["photos/000.webp"]
    whole = (tmp_path / "faces.zip").read_bytes()
    monkeypatch.setattr(preparing, "align_photos", lambda requests, *more, **options: [1 / 0 for _ in requests])
    absolute = line.replace("photos/000.webp", str(tmp_path / "faces-work/photos/000.webp"))  # as they once were
    for index, written in enumerate((line, absolute)):
        (tmp_path / f"{index}").mkdir()
        shutil.copytree(tmp_path / "faces-work", tmp_path / f"{index}" / "moved-work")
        (tmp_path / f"{index}" / "moved-work" / "aligned.jsonl").write_text(f"{head}\n{written}\n")
        assert run(photos, tmp_path / f"{index}" / "moved.zip", "--aligned") == 0
        assert (tmp_path / f"{index}" / "moved.zip").read_bytes() == whole
