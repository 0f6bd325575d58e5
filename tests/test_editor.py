"""AgeEditor: what comes out has the right size, place and detail; statelessness; threads; refusals."""

import gc
import io
import multiprocessing
import os
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from agetransformer import AgeEditor, Face, PhotoError
from agetransformer.alignment import DEFAULT_MODEL, FaceGeometry, align
from agetransformer.checkpoint import CheckpointError
from agetransformer.engine import Engine
from agetransformer.faces import see_neighbour
from agetransformer.imageio import load_photo

AGES = [20, 40.5, 69]


@pytest.fixture(scope="module")
def editor(embedded: None) -> AgeEditor:
    return AgeEditor.from_pretrained(device="cpu")


def smooth_picture(width: int, height: int, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height // 16, width // 16, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def astronaut() -> Image.Image:
    """NASA's portrait of Eileen Collins, public domain, as scikit-image carries it."""
    data = pytest.importorskip("skimage.data", reason="needs scikit-image for its public-domain portrait")
    return Image.fromarray(data.astronaut())


def geometry(centre: tuple[float, float], side: float) -> FaceGeometry:
    angles = np.linspace(0, 2 * np.pi, 478)
    oval = np.column_stack([0.3 * np.cos(angles), 0.07 + 0.32 * np.sin(angles)])
    corners = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]])
    return FaceGeometry((oval * side + centre).astype(np.float32), corners * side + centre, {})


@pytest.mark.parametrize("side", [40, 64, 300])
def test_squares_of_any_size_keep_it(editor: AgeEditor, side: int) -> None:
    face = editor.face_from_aligned(smooth_picture(side, side))
    images = [edited.image for edited in editor.decode(editor.encode(face), AGES)]
    assert face.geometry is None and 0 <= face.age <= 100
    assert [(image.mode, image.size) for image in images] == [("RGB", (side, side))] * 3
    assert not np.array_equal(np.asarray(images[0]), np.asarray(images[2]))


def test_at_the_network_resolution_the_result_is_the_network_output(
    editor: AgeEditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editor, "engine", Engine(editor.generator, "cpu", "torch"))  # in float32
    picture = smooth_picture(64, 64)
    (edited,) = editor.decode(editor.encode(editor.face_from_aligned(picture), hair=False), [33.3], shares=[1.0])
    x = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.no_grad():
        expected = editor.generator(x, torch.tensor([33.3]))[0].permute(1, 2, 0) * 127.5 + 127.5
    assert np.abs(np.asarray(edited.image) - expected.clamp(0, 255).numpy()).max() <= 1
    assert edited.age == 33.3


def test_detail_beyond_the_network_resolution_is_kept(editor: AgeEditor) -> None:
    """The result minus the input is smooth: the input's finest grain went through untouched."""
    grain = np.random.default_rng(0).integers(100, 156, (512, 512, 3), dtype=np.uint8)
    (edited,) = editor.decode(editor.encode(editor.face_from_aligned(Image.fromarray(grain))), [60])
    change = np.asarray(edited.image).astype(np.float32) - grain
    assert np.abs(change).max() > 3
    for axis in (0, 1):
        assert (
            np.abs(np.diff(change, axis=axis)).mean()
            < 0.2 * np.abs(np.diff(grain.astype(np.float32), axis=axis)).mean()
        )


def test_strength_scales_the_change(editor: AgeEditor) -> None:
    grey = Image.fromarray(np.random.default_rng(0).integers(100, 156, (64, 64, 3), dtype=np.uint8))
    encoding = editor.encode(editor.face_from_aligned(grey))
    none, half, full, more = (
        editor.decode(encoding, [60], strength, shares=[1.0])[0].image for strength in (0, 0.5, 1, 1.5)
    )
    change = np.asarray(full).astype(float) - np.asarray(grey)  # float: bytes would wrap around
    assert np.array_equal(np.asarray(none), np.asarray(grey)) and np.abs(change).max() > 3
    for image, strength in ((half, 0.5), (more, 1.5)):
        assert np.abs(np.asarray(image).astype(float) - np.asarray(grey) - strength * change).max() <= 1.3  # rounding
    for strength in (-0.1, 1.6, float("nan")):
        with pytest.raises(ValueError, match=r"strength .* 0\.\.1\.5"):
            editor.decode(encoding, [60], strength)


def test_a_dark_photo_changes_by_as_much_less(editor: AgeEditor, monkeypatch: pytest.MonkeyPatch) -> None:
    bright = smooth_picture(64, 64)
    dark = Image.eval(bright, lambda value: round(value / 3))
    changes = []
    for picture in (bright, dark):
        face = editor.face_from_aligned(picture)
        encoding = editor.encode(face, hair=False)
        changes.append(editor.decode(encoding, [65])[0].change)
    assert 2 < encoding.exposure < 3.1
    assert np.abs(changes[1]).mean() * encoding.exposure == pytest.approx(np.abs(changes[0]).mean(), rel=0.25)
    assert editor.encode(editor.face_from_aligned(bright), hair=False).exposure == 1
    assert editor.encode(editor.face_from_aligned(Image.new("RGB", (64, 64))), hair=False).exposure == 4
    read: list[torch.Tensor] = []  # what V sees: an untrained one reads 50 of everything
    monkeypatch.setattr(editor.classifier, "predict", lambda faces: read.append(faces) or torch.tensor([40.0]))
    for picture in (bright, dark):
        editor.face_from_aligned(picture)
    assert (read[0] - read[1]).abs().mean() < 0.25 < np.abs(np.asarray(bright, float) - np.asarray(dark)).mean() / 127.5


def test_a_black_and_white_photo_stays_one(editor: AgeEditor) -> None:
    grey = smooth_picture(128, 128).convert("L")
    face = editor.face_from_aligned(grey.convert("RGB"))
    encoding = editor.encode(face)
    (edited,) = editor.decode(encoding, [65])
    made = editor.engine.decode(encoding.encoding, torch.tensor([65.0]))[0]
    assert (made.amax(dim=0) - made.amin(dim=0)).max() > 0.02  # the network itself colours it
    pixels = np.asarray(edited.image)
    assert np.abs(pixels.astype(int) - np.asarray(grey)[..., None]).max() > 3
    assert (pixels == pixels[..., :1]).all()


def test_paste_changes_the_face_only(editor: AgeEditor) -> None:
    photo = smooth_picture(800, 640)
    place = geometry((500, 300), 200)
    square = Image.fromarray(align(np.asarray(photo), place, 200))
    face = Face(place, square, 30.0)
    (edited,) = editor.decode(editor.encode(face, hair=False), [65])
    result = editor.paste(photo, edited)
    assert np.array_equal(editor.paste_pixels(np.asarray(photo), edited), result)
    changed = (np.asarray(result) != np.asarray(photo)).any(axis=2)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert result.size == photo.size and changed[320, 500]
    assert rows.min() >= 200 and rows.max() < 400 and columns.min() >= 400 and columns.max() < 600
    # in the middle of the face the photo now shows the edited square
    square = np.asarray(edited.image)
    assert np.abs(np.asarray(result)[270:350, 460:540].astype(int) - square[70:150, 60:140]).max() <= 1


def test_a_neighbours_cheek_stays_as_it_is(editor: AgeEditor) -> None:
    photo = smooth_picture(800, 640)
    place, other = geometry((400, 300), 200), geometry((480, 300), 200)
    face = Face(place, Image.fromarray(align(np.asarray(photo), place, 200)), 30.0)
    beside = replace(face, neighbours=(see_neighbour(place, other),))
    alone, two = (
        np.abs(editor.paste(photo, editor.decode(editor.encode(one, hair=False), [65])[0]) - np.asarray(photo, float))
        for one in (face, beside)
    )
    assert alone[240:400, 460:].max() > 3 and two[240:400, 470:].max() == 0
    assert np.array_equal(alone[260:340, :410], two[260:340, :410])


def test_a_copy_of_another_size_is_not_the_photo(editor: AgeEditor) -> None:
    photo = astronaut()
    (edited,) = editor.decode(editor.encode(editor.find_faces(photo)[0]), [65])
    small = photo.resize((photo.width // 2, photo.height // 2))
    for paste in (lambda: editor.paste(small, edited), lambda: editor.paste_pixels(np.asarray(small), edited)):
        with pytest.raises(ValueError, match=f"found in a photo of {photo.width} x {photo.height} pixels"):
            paste()


def test_aligned_square_is_its_own_photo(editor: AgeEditor) -> None:
    picture = smooth_picture(256, 256)
    face = editor.face_from_aligned(picture)
    (edited,) = editor.decode(editor.encode(face), [65])
    result = np.asarray(editor.paste(picture, edited))
    assert np.array_equal(result[:5], np.asarray(picture)[:5])
    assert np.array_equal(result[100:160, 100:160], np.asarray(edited.image)[100:160, 100:160])
    assert np.array_equal(result, np.asarray(edited.masked))
    with pytest.raises(ValueError, match="aligned square"):
        editor.paste(smooth_picture(320, 256), edited)


@pytest.mark.parametrize("age", [19.9, 70, -5, float("nan"), float("inf")])
def test_ages_outside_the_range_are_refused(editor: AgeEditor, age: float) -> None:
    encoding = editor.encode(editor.face_from_aligned(smooth_picture(64, 64)))
    with pytest.raises(ValueError, match=r"20\.\.69"):
        editor.decode(encoding, [30, age])
    assert editor.decode(encoding, []) == []


def test_refusals(editor: AgeEditor, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="square"):
        editor.face_from_aligned(smooth_picture(64, 80))
    with pytest.raises(PhotoError):
        editor.find_faces(b"not a photo")
    with pytest.raises(CheckpointError, match="no such folder"):
        AgeEditor.from_pretrained(tmp_path / "missing")
    with pytest.raises(ValueError, match="auto, cpu or cuda"):
        AgeEditor.from_pretrained(device="tpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no CUDA"):
            AgeEditor.from_pretrained(device="cuda")


def test_users_at_once_get_their_own_faces(editor: AgeEditor) -> None:
    """Encodings are values: decoded interleaved and in threads, they give what they give alone."""
    pictures = [smooth_picture(64, 64, seed) for seed in range(4)]
    alone = [np.asarray(editor.decode(editor.encode(editor.face_from_aligned(p)), [50])[0].image) for p in pictures]
    encodings = [editor.encode(editor.face_from_aligned(picture)) for picture in pictures]
    together: list[list[np.ndarray]] = [[] for _ in pictures]

    def work(index: int) -> None:
        for _ in range(3):
            together[index].append(np.asarray(editor.decode(encodings[index], [50])[0].image))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, results in enumerate(together):
        assert len(results) == 3
        for result in results:
            assert np.abs(result.astype(int) - alone[index]).max() <= 1
            assert all(np.abs(result.astype(int) - other).max() > 1 for i, other in enumerate(alone) if i != index)


def test_save_and_load_again(editor: AgeEditor, tmp_path: Path) -> None:
    picture = smooth_picture(64, 64)
    again = AgeEditor.from_pretrained(editor.save_pretrained(tmp_path / "copy"))
    results = [np.asarray(e.decode(e.encode(e.face_from_aligned(picture)), [30])[0].image) for e in (editor, again)]
    assert np.array_equal(*results)
    assert again.card == editor.card == "# Untrained\n"
    assert again.name.startswith("copy@sha256:")


@pytest.mark.skipif(not DEFAULT_MODEL.is_file(), reason=f"needs {DEFAULT_MODEL.name} in checkpoints/")
def test_a_real_portrait(editor: AgeEditor) -> None:
    portrait = astronaut()
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[274] = 6  # stored turned by 90 degrees
    portrait.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", quality=95, exif=exif)
    faces = editor.find_faces(buffer.getvalue())
    assert len(faces) == 1
    (face,) = faces
    assert face.image.size == (max(64, round(face.geometry.side)),) * 2
    centre = face.geometry.quad.mean(axis=0)
    assert np.abs(centre - [222, 118]).max() < 20  # her nose
    photo = load_photo(buffer.getvalue())
    (edited,) = editor.decode(editor.encode(face), [65])
    changed = (np.asarray(editor.paste(photo, edited)) != np.asarray(photo)).any(axis=2)
    assert changed[118, 222] and not changed[300:].any() and not changed[:, 400:].any()
    assert editor.find_faces(Image.new("RGB", (640, 480), "green")) == []
    editor.close()
    assert len(editor.find_faces(photo)) == 1  # the finder comes back
    beside = Image.new("RGB", (portrait.width + 300, portrait.height), "white")
    beside.paste(portrait)
    beside.paste(portrait.resize((300, 300)), (portrait.width, 100))
    (largest,) = editor.find_faces(np.asarray(beside), most=1)
    assert len(largest.neighbours) == 1 and abs(largest.position.side - face.position.side) < 3


def test_faces_are_found_for_several_callers_at_once(editor: AgeEditor) -> None:
    photo = astronaut()
    (alone,) = editor.find_faces(photo)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: editor.find_faces(photo), range(8)))
    assert [len(faces) for faces in found] == [1] * 8
    assert all(np.array_equal(face.image, alone.image) for (face,) in found)
    editor.close()


def test_warm_up_leaves_nothing_to_load(embedded: None, monkeypatch: pytest.MonkeyPatch) -> None:
    editor = AgeEditor.from_pretrained(device="cpu")
    decoded = []
    decode = editor.engine.decode
    monkeypatch.setattr(editor.engine, "decode", lambda *call: decoded.append(call) or decode(*call))
    with monkeypatch.context() as patch:
        patch.setattr(editor.classifier, "predict", lambda squares: pytest.fail("a network ran"))
        editor.warm_up(Path("assets/astronaut.jpg"), networks=False)
    assert not decoded
    editor.warm_up(Image.new("RGB", (80, 64)))
    assert decoded
    monkeypatch.setattr("agetransformer.alignment.FaceFinder", lambda **_: pytest.fail("loaded again"))
    assert editor.find_faces(Image.new("RGB", (64, 64))) == []
    editor.close()


def test_finders_that_were_closed_are_forgotten(editor: AgeEditor) -> None:
    for _ in range(2):
        editor.find_faces(Image.new("RGB", (64, 64)))
        finder = weakref.ref(editor._finder)
        editor.close()
        gc.collect()
        assert finder() is None
    editor.close()


def test_an_editor_may_be_collected_anywhere(embedded: None) -> None:
    """Also while its thread holds the lock of all thread pools, which MediaPipe wants in order to close."""
    code = (
        "import gc, threading, weakref; from concurrent.futures import thread as pools; from PIL import Image;"
        "from agetransformer import AgeEditor, alignment; gc.disable();"
        "editor = AgeEditor.from_pretrained(device='cpu'); editor.find_faces(Image.new('RGB', (64, 64)));"
        "finder = editor._finder; gone = weakref.ref(editor); editor.itself = editor; del editor\n"
        "with pools._global_shutdown_lock: gc.collect()\n"
        "assert gone() is None\n"
        "for thread in threading.enumerate():\n"
        "    if thread.name == 'close-face-finder': thread.join()\n"
        "assert finder._closed; print('closed')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip().endswith("closed") and done.returncode == 0, done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes are forked here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_finds_faces_by_itself(editor: AgeEditor) -> None:
    """As ZeroGPU forks for each call: MediaPipe's threads stay behind, and waiting for them would never end."""
    photo = astronaut()
    (face,) = editor.find_faces(photo)
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def find() -> None:
        sender.send([round(found.position.side) for found in editor.find_faces(photo)])

    def child() -> None:
        thread = threading.Thread(target=find)  # PyTorch's own threads are missing from the one that was forked
        thread.start()
        thread.join()

    with editor._lock:  # somebody else's search may be under way
        process = multiprocessing.get_context("fork").Process(target=child, daemon=True)
        process.start()
    answered = receiver.poll(60)
    found = receiver.recv() if answered else None
    process.kill()
    assert found == [round(face.position.side)]
    assert editor.find_faces(photo)  # and this process still does


def test_import_is_light() -> None:
    """Neither torch nor MediaPipe is loaded before it is needed."""
    code = (
        "import agetransformer, sys; print(sorted({name.split('.')[0] for name in sys.modules}"
        " & {'torch', 'mediapipe', 'cv2', 'PIL', 'numpy', 'huggingface_hub', 'gradio'}))"
    )
    root = Path(__file__).parent.parent
    run = subprocess.run([sys.executable, "-c", code], check=True, cwd=root, capture_output=True, text=True)
    assert run.stdout.strip() == "[]"
