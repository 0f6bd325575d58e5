"""The running page through its API: endpoints, errors, privacy, limits."""

import ast
import inspect
import logging
import secrets
import string
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import av
import httpx
import numpy as np
import pytest
from app_fixtures import BACKGROUND, MARGIN, SquareEditor, draw_photo, grey_of, running_page
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image, ImageSequence

import app
from agetransformer import footage, video
from agetransformer.faces import MissingLibrariesError
from agetransformer.imageio import PhotoError, load_photo
from agetransformer.page.batch import edit_batch
from agetransformer.page.config import PageConfig
from agetransformer.page.english import ENGLISH
from agetransformer.page.errors import as_sentences
from agetransformer.page.figures import EVERY_FACE, age_row, face_picker, nearest
from agetransformer.page.studio import Look, Studio, StudioError, Visit, VisitClosedError
from agetransformer.page.vietnamese import VIETNAMESE
from agetransformer.video import VideoConfig
from app import EXAMPLES

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with running_page(SquareEditor(), tmp_path_factory.mktemp("server")) as url:
        yield url


@pytest.fixture(scope="module")
def client(address, tmp_path_factory):
    return Client(address, verbose=False, download_files=tmp_path_factory.mktemp("client"))


@pytest.fixture
def two_people(tmp_path):
    """Green is the larger face, blue the smaller one."""
    return draw_photo(tmp_path / "two.png", (900, 600), (BLUE, (40, 60, 120)), (GREEN, (500, 200, 300)))


def edit(client, photo, **parameters) -> list[Path]:
    return [Path(path) for path in client.predict(photo=handle_file(photo), api_name="/edit", **parameters)]


def test_info_names_every_endpoint_with_types(address):
    endpoints = httpx.get(f"{address}gradio_api/info").json()["named_endpoints"]
    assert set(endpoints) == {"/estimate_age", "/edit", "/age_grid", "/sweep"}
    types = {
        name: {parameter["parameter_name"]: parameter["type"] for parameter in endpoint["parameters"]}
        for name, endpoint in endpoints.items()
    }
    assert types["/edit"]["face"] == {"type": "integer"}
    assert types["/edit"]["all_faces"] == types["/sweep"]["hair"] == {"type": "boolean"}
    assert types["/sweep"]["format"]["enum"] == ["mp4", "gif", "webp"]
    assert {"type": "array", "items": {"type": "number"}} in types["/edit"]["ages"]["oneOf"]
    assert types["/estimate_age"].keys() == {"photo"}
    assert endpoints["/estimate_age"]["returns"][0]["type"] == {"type": "array", "items": {"type": "number"}}
    for endpoint in endpoints.values():
        for parameter in endpoint["parameters"]:
            assert f"{parameter['parameter_name']}:" in endpoint["description"]


def test_ages_of_all_faces_largest_first(client, two_people):
    assert client.predict(photo=handle_file(two_people), api_name="/estimate_age") == [52.0, 24.0]


def test_no_face_gives_an_empty_list_of_ages(client, tmp_path):
    empty = draw_photo(tmp_path / "empty.png", (300, 200))
    assert client.predict(photo=handle_file(empty), api_name="/estimate_age") == []


def test_edit_returns_the_whole_photo_changed_only_in_the_face(client, two_people):
    results = edit(client, two_people, ages=[25, 60.5])
    original = np.asarray(Image.open(two_people))
    for path, age in zip(results, [25, 60.5], strict=True):
        assert path.suffix == ".png"
        edited = np.asarray(Image.open(path))
        assert edited.shape == original.shape
        assert (edited[200:500, 500:800] == grey_of(age)).all()
        changed = (edited != original).any(axis=2)
        assert changed.sum() == 300 * 300


def test_edit_at_the_grids_ages_by_default(client, two_people):
    greys = [np.asarray(Image.open(path))[350, 650, 0] for path in edit(client, two_people)]
    assert greys == [grey_of(age) for age in (25, 35, 45, 55, 65)]


def test_edit_another_face(client, two_people):
    (path,) = edit(client, two_people, ages=[40], face=1)
    edited = np.asarray(Image.open(path))
    assert (edited[60:180, 40:160] == grey_of(40)).all()
    assert (edited[200:500, 500:800] == GREEN).all()


def test_edit_all_faces_at_once(client, two_people):
    (path,) = edit(client, two_people, ages=[40], all_faces=True)
    edited = np.asarray(Image.open(path))
    assert (edited[60:180, 40:160] == grey_of(40)).all() and (edited[200:500, 500:800] == grey_of(40)).all()
    changed = (edited != np.asarray(Image.open(two_people))).any(axis=2)
    assert changed.sum() == 300 * 300 + 120 * 120


def test_strength_scales_the_change_and_zero_is_none(client, two_people):
    original = np.asarray(Image.open(two_people))
    none, half = (
        np.asarray(Image.open(edit(client, two_people, ages=[60], strength=strength)[0])) for strength in (0, 0.5)
    )
    assert (none == original).all()
    assert np.abs(half[350, 650].astype(float) - (original[350, 650].astype(float) + grey_of(60)) / 2).max() <= 1
    with pytest.raises(AppError, match=r"Strength must be between 0 and 1\.5"):
        edit(client, two_people, strength=1.6)


def test_without_the_hair_less_changes(client, two_people):
    (path,) = edit(client, two_people, ages=[60], hair=False)
    changed = (np.asarray(Image.open(path)) != np.asarray(Image.open(two_people))).any(axis=2)
    assert changed.sum() == (300 - 2 * MARGIN) ** 2


def test_the_mark_is_in_the_corner_only_when_asked_for(client, two_people):
    plain, marked = (
        np.asarray(Image.open(edit(client, two_people, ages=[60], mark=mark)[0])) for mark in (False, True)
    )
    rows, columns = np.nonzero((plain != marked).any(axis=2))
    assert rows.min() > 500 and columns.min() > 600


@pytest.mark.parametrize("kind", ["gif", "webp", "mp4"])
def test_a_sweep_is_a_film_in_which_the_face_ages(client, two_people, kind):
    path = Path(client.predict(photo=handle_file(two_people), format=kind, all_faces=True, api_name="/sweep"))
    assert path.suffix == f".{kind}"
    if kind == "mp4":
        with av.open(str(path)) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    else:
        frames = []
        for frame in ImageSequence.Iterator(Image.open(path)):
            pixels = np.asarray(frame.convert("RGB"))
            frames += [pixels] * round(frame.info["duration"] / 80)  # frames that are alike may be one longer one
    assert len(frames) == 48 and frames[0].shape == (512, 768, 3)
    for y, x in ((102, 85), (320, 555)):  # the middles of both faces
        greys = [int(frame[y, x].astype(int).mean()) for frame in frames]
        assert abs(greys[0] - grey_of(20)) < 12 and abs(greys[24] - grey_of(69)) < 12
        assert abs(greys[12] - greys[36]) < 12  # there and back


def test_a_sweep_that_goes_nowhere_is_refused(client, two_people):
    with pytest.raises(AppError, match="younger age"):
        client.predict(photo=handle_file(two_people), youngest=60, oldest=60, api_name="/sweep")


def test_many_at_once_get_their_own_photo_back(client, tmp_path):
    def request(index: int) -> bool:
        left = 10 + 20 * index
        photo = draw_photo(tmp_path / f"{index}.png", (400, 200), (RED, (left, 40, 100)))
        (path,) = edit(client, photo, ages=[30 + index])
        expected = np.asarray(Image.open(photo)).copy()
        expected[40:140, left : left + 100] = grey_of(30 + index)
        return bool((np.asarray(Image.open(path)) == expected).all())

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(request, range(12)))


def test_age_grid_is_one_picture(client, two_people):
    figure = Image.open(client.predict(photo=handle_file(two_people), api_name="/age_grid"))
    assert figure.width > 5 * figure.height / 2
    colours = {colour for _, colour in figure.convert("RGB").getcolors(figure.width * figure.height)}
    assert {GREEN, *((grey_of(age),) * 3 for age in (25, 35, 45, 55, 65))} <= colours
    marked = Image.open(client.predict(photo=handle_file(two_people), mark=True, api_name="/age_grid"))
    rows, columns = np.nonzero((np.asarray(marked) != np.asarray(figure)).any(axis=2))
    assert rows.min() > figure.height / 2 and columns.min() > figure.width / 2


def test_results_say_that_they_were_edited_and_drop_the_uploaders_metadata(client, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    exif.get_ifd(0x8825)[1] = "N"
    photo = Image.new("RGB", (400, 300), BACKGROUND)
    photo.paste(RED, (100, 100, 200, 200))
    photo.save(tmp_path / "gps.png", exif=exif)
    assert Image.open(tmp_path / "gps.png").getexif()
    (path,) = edit(client, tmp_path / "gps.png", ages=[60])
    result = Image.open(path)
    assert not result.getexif()
    assert b"taken at home" not in path.read_bytes()
    assert "AI-edited" in result.text["Description"] and "60" in result.text["Description"]
    assert SquareEditor.name in result.text["Description"]


@pytest.mark.parametrize("ages", [[19], [69.5], [30, float(10**6)], [], [40] * 11])
def test_bad_ages_are_refused_with_a_sentence(client, two_people, ages):
    with pytest.raises(AppError) as error:
        edit(client, two_people, ages=ages)
    assert "ages" in str(error.value).lower() or "age" in str(error.value)
    assert "Traceback" not in str(error.value)


def test_a_face_that_is_not_there_is_refused_with_a_sentence(client, two_people):
    for index in (2, -1):
        with pytest.raises(AppError, match=f"no face {index} to choose in this photo: it offers 2"):
            edit(client, two_people, face=index)


def test_no_face_to_edit_is_a_sentence(client, tmp_path):
    with pytest.raises(AppError) as error:
        edit(client, draw_photo(tmp_path / "empty.png", (300, 200)))
    assert str(error.value) == ENGLISH.no_face


@pytest.mark.parametrize("content", [b"hello, this is text" * 50, b"", b"\x89PNG\r\n\x1a\n" + b"\0" * 99])
def test_a_file_that_is_no_photo_is_a_sentence(client, tmp_path, content):
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(AppError) as error:
        edit(client, tmp_path / "photo.jpg")
    assert str(error.value).endswith(".") and "Error" not in str(error.value)


def test_only_results_are_served(address):
    root = Path(__file__).resolve().parent.parent
    for path in ("/etc/passwd", root / "app.py", root / "checkpoints", root / "README.md"):
        assert httpx.get(f"{address}gradio_api/file={path}").status_code in (403, 404)


@pytest.mark.parametrize("meta", [{"meta": {"_type": "gradio.FileData"}, "url": None, "orig_name": "x.png"}, {}])
@pytest.mark.parametrize("name", ["estimate_age", "edit"])
def test_a_file_of_the_server_cannot_be_named_as_photo(client, tmp_path, name, meta):
    stranger = draw_photo(tmp_path / "stranger.png", (300, 200), (RED, (50, 50, 80)))
    for path in (str(stranger), f"{client.src}x/../../../../{stranger}", None, 7):
        data = [{"path": path, **meta}, [30.0], 0, False, 1.0, True, False][: 1 if name == "estimate_age" else None]
        job = httpx.post(f"{client.src}gradio_api/call/{name}", json={"data": data}).json()
        if "event_id" not in job:
            continue  # refused at once
        with httpx.stream("GET", f"{client.src}gradio_api/call/{name}/{job['event_id']}") as answer:
            text = answer.read().decode()
        assert "event: error" in text and "33" not in text and "complete" not in text


@pytest.mark.parametrize("name", ["estimate_age", "edit"])
def test_an_address_cannot_be_named_as_photo(client, name):
    """gradio would fetch it, with everybody else waiting."""
    asked = []

    class Host(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    with HTTPServer(("127.0.0.1", 0), Host) as host:
        threading.Thread(target=host.serve_forever, daemon=True).start()
        with pytest.raises(AppError, match="upload the file itself"):
            client.predict(handle_file(f"http://127.0.0.1:{host.server_port}/x.jpg"), api_name=f"/{name}")
        host.shutdown()
    assert not asked


def test_neither_can_the_pages_own_photo_input_name_one(address, tmp_path):
    stranger = draw_photo(tmp_path / "stranger.png", (300, 200), (RED, (50, 50, 80)))
    refused, opened = open_on_page(address, str(stranger)), open_on_page(address, upload(address, stranger))
    assert "cannot be named" in refused and "data:image" not in refused
    assert "data:image" in opened and "can be chosen" not in opened


def test_who_has_more_faces_than_can_be_chosen_is_told(two_people, tmp_path):
    with running_page(SquareEditor(), tmp_path / "server", PageConfig(max_faces=1)) as address:
        assert "2 faces were found; the 1 largest can be chosen." in open_on_page(address, upload(address, two_people))


@pytest.mark.parametrize("language", ["en", "vi"])
def test_nor_an_address_in_whatever_language_the_page_is(address, language):
    """gradio makes the inputs anew for a visitor whose page was translated."""
    file = {"path": "http://127.0.0.1:9/x.jpg", "meta": {"_type": "gradio.FileData"}}
    config = httpx.get(f"{address}config").json()
    (update,) = (one["id"] for one in config["dependencies"] if one["api_name"] == "update")
    files = {
        one["id"]: one["props"].get("file_count") for one in config["components"] if one["type"] in ("file", "image")
    }
    asked = 0
    for event in config["dependencies"]:
        if not event["backend_fn"] or not event["inputs"] or event["inputs"][0] not in files:
            continue
        asked += 1
        session = {"session_hash": secrets.token_hex(6)}
        ask_page(address, update, [language], session)
        given = [file] if files[event["inputs"][0]] == "multiple" else file
        answer = ask_page(address, event["id"], [given, *[None] * (len(event["inputs"]) - 1)], session)
        assert "an address cannot be named" in answer, event["api_name"]
    assert asked >= 3


def open_on_page(address, path: str) -> str:
    """What the page is sent when a browser says that its photo is now this file."""
    config = httpx.get(f"{address}config").json()
    (opening,) = (one["id"] for one in config["dependencies"] if one["api_name"] == "open_photo")
    return ask_page(address, opening, [{"path": path}, None, 100, True, "en"], {"session_hash": secrets.token_hex(6)})


def ask_page(address, event: int, data: list, session: dict) -> str:
    """What a browser tab is sent for one of the page's events."""
    httpx.post(f"{address}gradio_api/queue/join", json={"data": data, "fn_index": event} | session)
    with httpx.stream("GET", f"{address}gradio_api/queue/data", params=session, timeout=60) as answer:
        return answer.read().decode()


def upload(address, path: Path) -> str:
    """Where the server has put it."""
    answer = httpx.post(f"{address}gradio_api/upload", files={"files": (path.name, path.read_bytes(), "image/png")})
    return answer.json()[0]


@pytest.mark.parametrize(
    "wrong", [{"ages": 25}, {"ages": ["25"]}, {"ages": [None]}, {"strength": "1"}, {"face": 0.5}, {"face": "0"}]
)
def test_arguments_of_another_type_are_named(client, two_people, wrong):
    with pytest.raises(AppError, match=rf"{next(iter(wrong))} is a"):
        edit(client, two_people, **wrong)


def test_no_folder_is_left_of_a_refused_request(tmp_path):
    studio = Studio(SquareEditor(), PageConfig(), tmp_path / "downloads")
    visit = studio.open(str(draw_photo(tmp_path / "one.png", (300, 200), (RED, (50, 50, 80)))))
    with pytest.raises(StudioError, match="at most"):
        studio.save_photos(visit, [30] * 1000)
    assert not (tmp_path / "downloads").exists()


def test_results_do_not_fill_the_disk(tmp_path):
    studio = Studio(SquareEditor(), PageConfig(files_bytes=50_000), tmp_path / "downloads")
    visit = studio.open(str(draw_photo(tmp_path / "one.png", (300, 200), (RED, (50, 50, 80)))))
    first = Path(studio.save_photos(visit, [30])[0])
    (first.parent / "another").write_bytes(bytes(50_000))
    with pytest.raises(StudioError, match="try again in a minute"):
        studio.save_photos(visit, [30])
    (first.parent / "another").unlink()
    assert studio.save_photos(visit, [30])


def test_uploads_over_the_limit_are_refused(address, tmp_path):
    answer = httpx.post(f"{address}gradio_api/upload", files={"files": ("big.png", b"\0" * 61_000_000, "image/png")})
    assert answer.status_code == 413


def test_events_of_the_page_are_not_part_of_the_api(client):
    with pytest.raises(ValueError, match="Cannot find a function"):
        client.predict("x", api_name="/open_photo")


def test_a_visit_that_was_closed_is_known(tmp_path):
    studio = Studio(SquareEditor(), PageConfig(), tmp_path)
    photo = draw_photo(tmp_path / "one.png", (300, 200), (RED, (50, 50, 80)))
    visit, other = studio.open(str(photo)), studio.open(str(photo))
    studio.close(visit)
    assert studio.is_closed(visit) and not studio.is_closed(other) and len(studio.cache) == 1
    for work in (studio.workspace, lambda closed: studio.choose(closed, 0)):  # what was asked for before it ended
        with pytest.raises(VisitClosedError):
            work(visit)
    assert len(studio.cache) == 1


def test_a_visit_that_is_closed_while_it_is_worked_for_is_not_kept(tmp_path):
    class Closing(SquareEditor):
        def encode(self, face, hair=True):
            if visits:
                studio.close(visits[0])
            return super().encode(face, hair)

    visits: list[Visit] = []
    studio = Studio(Closing(), PageConfig(), tmp_path)
    photo = draw_photo(tmp_path / "two.png", (300, 200), (RED, (50, 50, 80)), (GREEN, (150, 50, 80)))
    visits.append(studio.open(str(photo)))
    with pytest.raises(VisitClosedError):
        studio.choose(visits[0], 1)
    visits[0] = replace(visits[0], key="another")
    studio.workspace(visits[0])
    assert len(studio.cache) == 0


def test_the_cache_is_bounded_and_drops_the_least_recently_used(tmp_path):
    studio = Studio(SquareEditor(), PageConfig(encodings_kept=2), tmp_path)
    photo = draw_photo(tmp_path / "one.png", (300, 200), (RED, (50, 50, 80)))
    first, second = studio.open(str(photo)), studio.open(str(photo))
    studio.workspace(first)
    third = studio.open(str(photo))
    assert len(studio.cache) == 2
    assert studio.cache.get(second.key) is None
    assert studio.cache.get(first.key) and studio.cache.get(third.key)
    studio.close(third)
    assert len(studio.cache) == 1


def preview_at(studio: Studio, visit: Visit, age: float) -> Image.Image:
    return studio.figure_at(studio.workspace(visit), age)[0]


def test_a_dropped_encoding_is_made_again_until_the_photo_is_gone(tmp_path):
    studio = Studio(SquareEditor(), PageConfig(), tmp_path)
    photo = draw_photo(tmp_path / "two.png", (300, 200), (RED, (50, 50, 80)), (BLUE, (200, 20, 40)))
    visit = studio.choose(studio.open(str(photo)), 1)
    before = np.asarray(preview_at(studio, visit, 60))
    studio.cache.drop(visit.key)
    assert (np.asarray(preview_at(studio, visit, 60)) == before).all()
    assert (before[20:60, 200:240] == grey_of(60)).all()
    studio.close(visit)
    photo.unlink()
    with pytest.raises(StudioError, match="no longer kept"):
        preview_at(studio, visit, 60)


def test_the_preview_of_a_large_photo_is_the_full_result_made_small(tmp_path):
    config = PageConfig(preview_side=500)
    studio = Studio(SquareEditor(), config, tmp_path)
    photo = draw_photo(tmp_path / "large.png", (2000, 1000), (RED, (800, 400, 200)))
    visit = studio.open(str(photo))
    preview = preview_at(studio, visit, 60)
    assert preview.size == (500, 250)
    (full,) = studio.photos_at(visit, [60])
    small = np.asarray(Image.fromarray(full).resize((500, 250), Image.Resampling.BOX)).astype(int)
    assert np.abs(np.asarray(preview).astype(int) - small).mean() < 2
    assert (np.asarray(preview)[105:145, 205:245] == grey_of(60)).all()


def test_photos_are_saved_as_they_are_shown_and_none_is_left_when_one_fails(tmp_path):
    class Broken(SquareEditor):
        def decode(self, encoding, ages, strength=1.0, hair=True):
            if 65 in ages:
                raise MemoryError
            return super().decode(encoding, ages, strength, hair)

    photo = draw_photo(tmp_path / "photo.png", (400, 300), (RED, (100, 80, 60)))
    downloads = tmp_path / "downloads"
    studio = Studio(Broken(), PageConfig(), downloads)
    visit = studio.open(str(photo))
    paths = studio.save_photos(visit, [25, 45])
    assert [Path(path).name for path in paths] == ["age_25.png", "age_45.png"]
    for path, shown in zip(paths, studio.photos_at(visit, [25, 45]), strict=True):
        assert (np.asarray(Image.open(path)) == shown).all()
    with pytest.raises(MemoryError):
        studio.save_photos(visit, [35, 55, 65])
    assert sorted(map(str, downloads.rglob("*.png"))) == sorted(paths)
    assert len(list(downloads.iterdir())) == 2
    (marked,) = studio.save_photos(visit, [25], mark=True)
    assert (np.asarray(Image.open(marked)) != np.asarray(Image.open(paths[0]))).any()


def test_files_that_are_no_photos_raise_photo_errors(tmp_path):
    (tmp_path / "note.jpg").write_text("not a photo")
    with pytest.raises(PhotoError):
        Studio(SquareEditor(), PageConfig(), tmp_path).open(str(tmp_path / "note.jpg"))


@pytest.mark.parametrize(("age", "expected"), [(12, 25), (29.9, 25), (30, 25), (30.1, 35), (47, 45), (90, 65)])
def test_the_frame_goes_to_the_nearest_age(age, expected):
    ages = (25, 35, 45, 55, 65)
    assert nearest(age, ages) == expected
    row = age_row("data:,original", "You", age, ages, {target: f"data:,{target}" for target in ages})
    assert row.count('class="nearest"') == 1
    assert f'class="nearest" data-value="{expected}"' in row


def test_ages_not_yet_ready_are_shown_as_waiting():
    row = age_row("data:,original", "You", 40, (25, 35, 45), {25: "data:,25"})
    assert row.count("aria-busy") == 2 and row.count("<button") == 1


def test_one_button_for_each_face_and_one_for_all():
    picker = face_picker(["data:,a", "data:,b"], [31.2, 64.0], chosen=[1])
    assert [part.split('"')[0] for part in picker.split('data-value="')[1:]] == ["0", "1", str(EVERY_FACE)]
    assert [part.split('"')[0] for part in picker.split('aria-pressed="')[1:]] == ["false", "true", "false"]
    together = face_picker(["data:,a", "data:,b"], [31.2, 64.0], chosen=[0, 1])
    assert [part.split('"')[0] for part in together.split('aria-pressed="')[1:]] == ["false", "false", "true"]


def test_the_cache_counts_every_encoded_face(tmp_path):
    studio = Studio(SquareEditor(), PageConfig(encodings_kept=3), tmp_path)
    photo = draw_photo(tmp_path / "two.png", (300, 200), (RED, (50, 50, 80)), (BLUE, (200, 20, 40)))
    first, second = studio.open(str(photo), None), studio.open(str(photo), 1)
    assert len(studio.cache) == 2
    third = studio.open(str(photo), None)
    assert studio.cache.get(first.key) is None and studio.cache.get(second.key) and studio.cache.get(third.key)


def test_preview_of_all_faces_with_a_close_up_of_both(tmp_path):
    studio = Studio(SquareEditor(), PageConfig(), tmp_path)
    photo = draw_photo(tmp_path / "two.png", (300, 200), (RED, (50, 50, 80)), (BLUE, (200, 20, 40)))
    whole, close_up = studio.figure_at(studio.workspace(studio.open(str(photo), None)), 60, Look())
    pixels = np.asarray(whole)
    assert (pixels[50:130, 50:130] == grey_of(60)).all() and (pixels[20:60, 200:240] == grey_of(60)).all()
    assert close_up.size == (190, 110)  # from the left of one to the right of the other


def test_a_batch_gives_every_photo_at_every_age_and_lists_the_rest(tmp_path):
    studio = Studio(SquareEditor(), PageConfig(), tmp_path / "downloads")
    (tmp_path / "a").mkdir()
    photos = [
        draw_photo(tmp_path / "Anna & Bob.png", (300, 200), (RED, (50, 50, 80)), (BLUE, (200, 20, 40))),
        draw_photo(tmp_path / "a" / "anna & bob.png", (200, 200), (GREEN, (50, 50, 80))),
        draw_photo(tmp_path / "lawn.png", (300, 200)),
    ]
    (tmp_path / "note.jpg").write_text("not a photo")
    paths = [*map(str, photos), str(tmp_path / "note.jpg")]
    told = []
    report = edit_batch(studio, paths, [25, 65], True, Look(), False, ENGLISH, told.append)
    assert told == [1, 2, 3, 4] and report.done == 2
    assert dict(report.failures)["lawn.png"] == ENGLISH.no_face and "not a photo" in dict(report.failures)["note.jpg"]
    with zipfile.ZipFile(report.zip) as archive:
        names = [f"{stem}_age_{age}.png" for stem in ("Anna_Bob", "anna_bob_2") for age in (25, 65)]
        assert archive.namelist() == [*names, "report.txt"]
        text = archive.read("report.txt").decode()
        assert "2 of 4" in text and "lawn.png" in text and "note.jpg" in text
        with archive.open("Anna_Bob_age_65.png") as file:
            picture = Image.open(file)
            assert picture.size == (300, 200) and "AI-edited" in picture.text["Description"]
            assert picture.getpixel((90, 90)) == picture.getpixel((220, 40)) == (grey_of(65),) * 3
    assert [path.name for path in (tmp_path / "downloads").rglob("*.*")] == ["age_transformer.zip"]
    assert len(studio.cache) == 0


def test_a_batch_is_bounded(tmp_path):
    photos = [str(draw_photo(tmp_path / f"{index}.png", (300, 200), (RED, (20 + index, 50, 80)))) for index in range(3)]

    def edit_them(config: PageConfig, ages: list[float] = [25]):  # noqa: B006
        studio = Studio(SquareEditor(), config, tmp_path / "downloads")
        return edit_batch(studio, photos, ages, False, Look(), False, VIETNAMESE, lambda number: None)

    for config, expected in (
        (PageConfig(batch_photos=2), ENGLISH.too_many_photos.format(most=2)),
        (PageConfig(batch_bytes=1000), ENGLISH.photos_too_large.format(megabytes=0)),
    ):
        with pytest.raises(StudioError) as error:
            edit_them(config)
        assert str(error.value) == expected
        assert error.value.sentence(VIETNAMESE) != expected
    with pytest.raises(StudioError, match="at least one age"):
        edit_them(PageConfig(), [])
    size = Path(edit_them(PageConfig()).zip).stat().st_size
    report = edit_them(PageConfig(batch_zip_bytes=round(0.6 * size)))
    assert report.done == 1 and {why for _, why in report.failures} == {VIETNAMESE.batch_full}


def test_both_languages_say_everything_with_the_same_blanks():
    for field in fields(ENGLISH):
        ours, theirs = (getattr(texts, field.name) for texts in (ENGLISH, VIETNAMESE))
        if field.name in ("intake_errors", "title", "api", "video"):
            continue
        assert ours != theirs, field.name
        blanks = [sorted(name for _, name, _, _ in string.Formatter().parse(text) if name) for text in (ours, theirs)]
        assert blanks[0] == blanks[1], field.name


def sentences_of(module: ModuleType, error: str) -> set[str]:
    """What `raise error(...)` says in a module's source; the blanks filled as the page does."""
    raised = [node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Raise)]
    calls = [node.exc for node in raised if isinstance(node.exc, ast.Call) and node.exc.func.id == error]
    page = PageConfig()
    config = VideoConfig(longest=page.clip_seconds, most_frames=page.clip_frames)
    return {eval(compile(ast.Expression(call.args[0]), "", "eval"), {"config": config}) for call in calls}


def test_what_is_wrong_with_a_clip_is_said_in_vietnamese_too():
    sentences = sentences_of(footage, "VideoError") | sentences_of(video, "VideoError")
    sentences -= {"There is no such file. Please check its name and folder."}  # of the command line
    assert len(sentences) >= 5
    for sentence in sentences:
        assert VIETNAMESE.of(sentence) != sentence, sentence


@pytest.mark.parametrize(
    "content",
    [
        b"hello" * 99,
        b"",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 99,
        b"%PDF-1.7",
        b"%!PS-Adobe",
        b"<svg></svg>",
        b"\0" * 20_000_001,
    ],
)
def test_errors_of_the_intake_are_told_in_vietnamese(content):
    with pytest.raises(PhotoError) as error:
        load_photo(content)
    assert VIETNAMESE.of(str(error.value)) != str(error.value)


def test_the_log_names_no_file(caplog, tmp_path):
    photo = tmp_path / "Jane Doe.jpg"
    with caplog.at_level(logging.DEBUG), pytest.raises(Exception, match="our fault"), as_sentences():
        photo.read_bytes()
    assert "FileNotFoundError" in caplog.text and "Jane" not in caplog.text


def test_uploads_and_results_are_gone_after_their_time(tmp_path):
    files = tmp_path / "server"
    config = PageConfig(state_seconds=4, files_seconds=4, files_check_seconds=1)
    photo = draw_photo(tmp_path / "one.png", (300, 200), (RED, (50, 50, 80)))
    examples = {path.name for path in EXAMPLES.glob("*.jpg")}  # the page's own, which stay

    def left() -> list[Path]:
        return [path for path in files.rglob("*") if path.is_file() and path.name not in examples]

    with running_page(SquareEditor(), files, config) as url:
        client = Client(url, verbose=False, download_files=tmp_path / "client")
        assert edit(client, photo, ages=[30]) and left()
        deadline = time.monotonic() + 30
        while left() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert left() == []


@pytest.mark.parametrize(
    ("at", "error", "says"),
    [
        (
            "warm_up",
            MissingLibrariesError("MediaPipe needs what packages.txt lists: libEGL.so.1"),
            "packages.txt",
        ),
        ("launch", OSError("Cannot find empty port in range: 7860-7860."), "7860"),
    ],
)
def test_what_keeps_the_page_from_starting_is_said_in_a_sentence(at, error, says, monkeypatch, tmp_path, capsys):
    def fail(*_: object, **__: object) -> None:
        raise error

    editor = SquareEditor()
    editor.warm_up = fail if at == "warm_up" else lambda *_, **__: None
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["app.py"])
    monkeypatch.setattr(app.AgeEditor, "from_pretrained", lambda *_, **__: editor)
    monkeypatch.setattr(app, "launch_app", fail if at == "launch" else lambda *_: "http://127.0.0.1")
    monkeypatch.setattr(app.signal, "signal", lambda *_: None)
    with pytest.raises(SystemExit, match="2"):
        app.main()
    assert f"app.py: error: {error}" in capsys.readouterr().err and says in str(error)
    assert list(tmp_path.iterdir()) == []


def test_limits_stand_together():
    config = PageConfig()
    assert config.max_faces <= config.encodings_kept
    assert config.state_seconds <= config.files_seconds  # a live state can always find its photo
    assert all(config.youngest <= age <= config.oldest for age in config.grid_ages)
