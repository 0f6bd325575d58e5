"""Faces from folders and from tar shards, on disk, over HTTP and through a pipe; and what is wrong with them."""

import functools
import http.server
import io
import itertools
import json
import random
import shutil
import tarfile
import threading
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import pytest
import torch

from agetransformer.checkpoint import save_checkpoint
from agetransformer.classifier import AgeClassifier, ClassifierConfig
from train import generator
from train.attributes import AGE, ATTRIBUTES
from train.batches import age_balance
from train.data import is_held_out, load_faces
from train.generator import GeneratorTraining, LossWeights, Phase, train_generator
from train.shards import write_shards
from train.stream import Face, FaceStream, draw_balanced, expand, load_stream, parse_face, read_held_out

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def pattern(tiny_faces, tmp_path_factory) -> str:
    """The 40 tiny faces as four shards; their ages, 20 to 59, name them."""
    return write_shards((tiny_faces,), tmp_path_factory.mktemp("shards") / "faces", per_shard=10)


@pytest.fixture(scope="module")
def server(pattern):
    """The address of the shards' folder, served over HTTP."""
    handler = functools.partial(QuietHandler, directory=str(Path(pattern).parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments) -> None:
        pass


def stream(entries: tuple[str, ...], workers: int = 0, buffer: int = 40):
    return load_stream(FaceStream(entries, 96, AGE, buffer, "seed"), 8, workers, CPU)


def write_tar(path: Path, files: dict[str, bytes]) -> str:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return str(path)


def test_shards_hold_every_face_of_the_archive_in_random_order(tiny_faces, pattern):
    assert pattern.endswith("faces-{000000..000003}.tar") and len(expand((pattern,))) == 4
    stored, order = {}, []
    for url in expand((pattern,)):
        with tarfile.open(url) as shard:
            for name in shard.getnames():
                data = shard.extractfile(name).read()
                if name.endswith(".json"):
                    labels = json.loads(data)
                    order.append(labels["file"])
                else:
                    image = data
            # the last pair of each shard, at least
            stored[labels["file"]] = image
    assert sorted(order) == [f"x{index:03d}.png" for index in range(40)] and order != sorted(order)
    with zipfile.ZipFile(tiny_faces) as archive:
        assert len(stored) == 4 and all(archive.read(name) == image for name, image in stored.items())


@pytest.mark.parametrize("where", ["disk", "http", "pipe"])
def test_the_stream_gives_the_archives_faces(tiny_faces, pattern, server, tmp_path, where):
    shards = Path(pattern).name
    entry = {"disk": pattern, "http": f"{server}/{shards}", "pipe": f"pipe:cat {pattern}"}[where]
    faces = load_faces((str(tiny_faces),), 96, chips=False, cache=str(tmp_path))
    seen = set()
    for images, ages, traits in itertools.islice(stream((entry,), workers=1), 12):
        assert images.shape == (8, 3, 96, 96) and images.dtype == torch.uint8
        for image, age, trait in zip(images, ages, traits, strict=True):
            index = int(age) - 20
            assert torch.equal(image, faces.images[index]) and trait == faces.traits[index]
            assert not is_held_out(faces.names[index])
            seen.add(index)
    assert len(seen) > 25


def test_the_stream_is_balanced_over_age_and_fair_within_a_bin():
    labels = [22.0] * 300 + [45.0] * 30 + [68.0] * 3 + [5.0] * 30

    def shards():
        draw = random.Random(0)
        while True:
            for index in draw.sample(range(len(labels)), len(labels)):
                yield Face(b"", labels[index], 0.0, f"{index}.png", "")

    drawn = [face for face in itertools.islice(draw_balanced(shards(), 60, AGE, random.Random(1)), 6000)]
    shares = Counter(face.label for face in drawn)
    assert shares.keys() == {22.0, 45.0, 68.0}
    assert all(count == pytest.approx(2000, abs=200) for count in shares.values())
    assert not any(is_held_out(face.name) for face in drawn)
    young = Counter(face.name for face in drawn if face.label == 22.0)
    assert len(young) > 270 and max(young.values()) < 30  # of 300, less the held-out ones, seven each on average


def test_balanced_traits_are_as_likely_as_from_memory():
    """Glasses on half of the old and few of the young, no old man without them: the draw of `age_balance`."""
    counts = {  # (age, female, glasses): faces
        (22.0, 0.0, 0.0): 300, (22.0, 1.0, 0.0): 200, (22.0, 0.0, 1.0): 10, (22.0, 1.0, 1.0): 20,
        (45.0, 0.0, 0.0): 30, (45.0, 1.0, 0.0): 90, (45.0, 0.0, 1.0): 30, (45.0, 1.0, 1.0): 10,
        (68.0, 1.0, 0.0): 40, (68.0, 0.0, 1.0): 40, (68.0, 1.0, 1.0): 10,
    }  # fmt: skip
    names = itertools.filterfalse(is_held_out, (f"{index}.png" for index in itertools.count()))
    faces = [
        Face(b"", age, female, next(names), "", glasses)
        for (age, female, glasses), count in counts.items()
        for _ in range(count)
    ]

    def shards():
        draw = random.Random(0)
        while True:
            yield from draw.sample(faces, len(faces))

    drawn = Counter(
        (face.label, face.female, face.glasses)
        for face in itertools.islice(draw_balanced(shards(), 400, AGE, random.Random(1), balance_traits=True), 40_000)
    )
    ages, female, glasses = (
        torch.tensor([getattr(face, name) for face in faces]) for name in ("label", "female", "glasses")
    )
    weights = age_balance(ages, AGE, (female + 2 * glasses).long())
    for cell in counts:
        mine = torch.tensor([(face.label, face.female, face.glasses) == cell for face in faces])
        assert drawn[cell] / 40_000 == pytest.approx((weights[mine].sum() / weights.sum()).item(), abs=0.01), cell


def test_shards_carry_the_glasses_and_without_them_balanced_traits_are_refused(tiny_faces, pattern, tmp_path):
    with zipfile.ZipFile(tiny_faces) as archive:
        archive.extractall(tmp_path / "faces")
    table = (tmp_path / "faces/labels.csv").read_text().splitlines()
    words = ["glasses", *itertools.islice(itertools.cycle(["NoGlasses", "ReadingGlasses", "Sunglasses", ""]), 40)]
    labels = "".join(f"{row},{word}\n" for row, word in zip(table, words, strict=True))
    (tmp_path / "faces/labels.csv").write_text(labels)
    worn = write_shards((tmp_path / "faces",), tmp_path / "worn")
    memory = load_faces((str(tmp_path / "faces"),), 96, chips=False, cache=str(tmp_path / "cache"))
    test = read_held_out((worn,), 96, AGE, need_glasses=True)
    known = dict(zip(memory.names, memory.glasses.tolist(), strict=True))
    assert set(known.values()) == {0.0, 1.0}
    assert test.glasses.tolist() == [known[name] for name in test.names]
    # The archive behind `pattern` has no such column: it is refused as the archive itself is.
    with pytest.raises(ValueError, match=r"\.json has no label glasses.*from archives whose labels\.csv has it"):
        read_held_out((pattern,), 96, AGE, need_glasses=True)

    with tarfile.open(expand((worn,))[0]) as shard:
        files = {name: shard.extractfile(name).read() for name in shard.getnames()}
    for name in [name for name in files if name.endswith(".json")]:
        files[name] = json.dumps({k: v for k, v in json.loads(files[name]).items() if k != "glasses"}).encode()
    old = write_tar(tmp_path / "old.tar", files)
    assert len(read_held_out((old,), 96, AGE)) > 0
    torch.manual_seed(0)
    save_checkpoint(AgeClassifier(ClassifierConfig(resolution=32)), tmp_path / "classifier")
    config = GeneratorTraining(
        data=(old,), classifier=str(tmp_path / "classifier"), phases=(Phase(4, 64, 2),), balance_traits=True
    )
    with pytest.raises(ValueError, match=r"old\.tar: 0+\.json has no label glasses.*python -m train\.shards"):
        train_generator(config, tmp_path / "run")


def test_held_out_faces_are_those_of_the_archive(tiny_faces, pattern, tmp_path):
    faces = load_faces((str(tiny_faces),), 96, chips=False, cache=str(tmp_path))
    test = read_held_out((pattern,), 96, AGE)
    expected = {name for name in faces.names if is_held_out(name)}
    assert set(test.names) == expected and len(test) == len(expected) > 0


def test_a_run_trains_from_a_server_and_resumes(server, pattern, tmp_path):
    torch.manual_seed(0)
    save_checkpoint(AgeClassifier(ClassifierConfig(resolution=32)), tmp_path / "classifier")
    weights = LossWeights(gan=0.0)
    config = GeneratorTraining(
        data=(f"{server}/{Path(pattern).name}",), classifier=str(tmp_path / "classifier"), shuffle_buffer=20,
        loader_workers=1, phases=(Phase(4, 64, 2, weights=weights), Phase(4, 96, 2, weights=weights)), sample_every=2,
    )  # fmt: skip
    first = train_generator(config, tmp_path / "run", minutes=0)
    assert first.name == "state-00000000"
    assert train_generator(config, tmp_path / "run", resume=True).name == "state-00000004"
    assert (tmp_path / "run/samples/00000008.png").is_file()


def test_a_folder_is_an_archive_too(tiny_faces, tmp_path):
    with zipfile.ZipFile(tiny_faces) as archive:
        archive.extractall(tmp_path / "faces")
    cache = str(tmp_path / "cache")
    zipped, folder = (load_faces((str(path),), 32, False, cache) for path in (tiny_faces, tmp_path / "faces"))
    assert torch.equal(zipped.images, folder.images) and torch.equal(zipped.ages, folder.ages)
    assert zipped.names == folder.names
    (tmp_path / "faces/x000.png").write_bytes(b"no image")  # seen in spite of the cache
    with pytest.raises(ValueError, match=r"x000\.png: broken, or not an image"):
        load_faces((str(tmp_path / "faces"),), 32, False, cache)
    (tmp_path / "faces/x000.png").unlink()
    with pytest.raises(ValueError, match=r"labels\.csv names x000\.png, which is not there"):
        load_faces((str(tmp_path / "faces"),), 32, False, cache)
    (tmp_path / "faces/labels.csv").unlink()
    with pytest.raises(ValueError, match=r"no labels\.csv in this folder"):
        load_faces((str(tmp_path / "faces"),), 32, False, cache)


def test_a_bad_shard_among_good_ones_is_named_and_skipped(pattern, tmp_path):
    good = expand((pattern,))[0]
    broken = tmp_path / "broken.tar"
    broken.write_bytes(b"not a tar file" * 100)
    unlabelled = write_tar(tmp_path / "unlabelled.tar", {"7.png": b"..."})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        batches = list(itertools.islice(stream((good, str(broken), unlabelled), buffer=20), 12))
    assert len(batches) == 12
    said = " ".join(str(warning.message) for warning in caught)
    assert "broken.tar: cannot be read as a tar shard" in said
    assert "unlabelled.tar: 7 has no .json with its labels" in said


def test_images_that_are_none_stop_a_run_too(tmp_path):
    labels = b'{"file": "x.png", "age": "30", "gender": "male"}'
    files = {f"{index}.{ending}": data for index in range(15) for ending, data in (("png", b"..."), ("json", labels))}
    with warnings.catch_warnings(record=True) as caught, pytest.raises(ValueError, match=r"bad\.tar: \d+"):
        warnings.simplefilter("always")
        next(stream((write_tar(tmp_path / "bad.tar", files),), buffer=4))
    assert sum("skipped" in str(warning.message) for warning in caught) == 9


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"7.png": b"..."}, r"bad\.tar: 7 has no \.json with its labels; `python -m train\.shards`"),
        ({"7.json": b"{}"}, r"bad\.tar: 7 has no image \(\.webp"),
        ({"7.png": b"...", "7.json": b'{"gender": "male"}'}, r"7\.json needs the labels age and gender \(KeyError"),
        ({"7.png": b"...", "7.json": b"{"}, r"7\.json needs the labels age and gender"),
        ({"7.png": b"...", "7.json": b'{"age": 30, "gender": "f"}'}, "gender is female or male, not 'f'"),
    ],
)
def test_what_is_wrong_with_the_first_shard_is_said_before_the_first_step(tmp_path, files, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_held_out((write_tar(tmp_path / "bad.tar", files),), 32, AGE)


@pytest.mark.parametrize(("said", "worn"), [(None, 0), (False, 0), ("NoGlasses", 0), ("Sunglasses", 1), (True, 1)])
def test_null_and_false_say_nothing_of_glasses(said, worn):
    labels = {"age": 30, "gender": "male", "file": "a.png", "glasses": said}
    sample = {"__url__": "x.tar", "__key__": "7", "png": b"", "json": json.dumps(labels).encode()}
    assert parse_face(sample, AGE, need_glasses=True).glasses == worn
    assert parse_face(sample, ATTRIBUTES["glasses"]).label == 100 * worn


def test_a_shard_that_breaks_during_a_run_does_not_stop_its_next_phase(pattern, tmp_path, monkeypatch):
    for url in expand((pattern,)):
        shutil.copy(url, tmp_path)
    torch.manual_seed(0)
    save_checkpoint(AgeClassifier(ClassifierConfig(resolution=32)), tmp_path / "classifier")
    weights = LossWeights(gan=0.0)
    phases = (Phase(2, 64, 2, weights=weights), Phase(2, 96, 2, weights=weights))
    data = (str(tmp_path / Path(pattern).name),)
    config = GeneratorTraining(
        data, classifier=str(tmp_path / "classifier"), shuffle_buffer=20, loader_workers=0, phases=phases
    )
    real_step = generator.train_step
    first = tmp_path / "faces-000000.tar"

    def breaking(*given):
        first.write_bytes(b"not a tar file" * 100)
        return real_step(*given)

    monkeypatch.setattr(generator, "train_step", breaking)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert train_generator(config, tmp_path / "run").name == "state-00000002"
    with pytest.raises(ValueError, match=r"faces-000000\.tar: cannot be read"):  # a new run says it at once
        train_generator(config, tmp_path / "other")


def test_sources_are_for_archives(pattern, tmp_path, monkeypatch):
    torch.manual_seed(0)
    save_checkpoint(AgeClassifier(ClassifierConfig(resolution=32)), tmp_path / "classifier")
    config = GeneratorTraining(
        (pattern,), (0,), classifier=str(tmp_path / "classifier"), phases=(Phase(2, 64, 2),), balance_traits=True
    )
    with pytest.raises(ValueError, match="sources: for archives only; for tar shards leave it out"):
        train_generator(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("file;age;gender\na.png;30;male\n", "needs the columns file, age, gender, and has no file, age, gender"),
        ("file,age,gender\na.png,200,male\n", r"labels\.csv, a\.png: age is years from 0 to 119, not '200'"),
        ("file,age,gender\na.png,30,man\n", r"labels\.csv, a\.png: gender is female or male, not 'man'"),
    ],
)
def test_no_shards_are_written_of_labels_that_are_none(table, sentence, tmp_path):
    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "labels.csv").write_text(table)
    with pytest.raises(ValueError, match=sentence):
        write_shards((tmp_path / "faces",), tmp_path / "shards")
    assert not list(tmp_path.glob("shards*"))


def test_missing_shards_are_named(server, tmp_path):
    with pytest.raises(ValueError, match=r"none\.tar: cannot be read as a tar shard"):
        read_held_out((f"{server}/none.tar",), 32, AGE)
    with pytest.raises(ValueError, match=r"none\.tar: cannot be read as a tar shard \(FileNotFoundError"):
        read_held_out((str(tmp_path / "none.tar"),), 32, AGE)
    with pytest.raises(ValueError, match=r"none\.tar: cannot be read"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        next(stream((str(tmp_path / "none.tar"),)))


def test_shards_cannot_stand_beside_archives_or_be_overwritten(tiny_faces, pattern):
    with pytest.raises(ValueError, match=r"tar shards are for train\.generator alone, and not beside archives"):
        load_faces((str(tiny_faces), pattern), 32, chips=False)
    with pytest.raises(FileExistsError, match=r"faces-000000\.tar is there already"):
        write_shards((tiny_faces,), Path(pattern).parent / "faces")
