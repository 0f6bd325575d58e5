"""What users leave on the server: gone in time, also after the process was stopped or killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import gradio as gr
import httpx
import pytest

from agetransformer.page.config import PageConfig
from agetransformer.page.expiry import forget_sessions, own_upload_folder, remove_old_files, remove_orphans
from tests.app_fixtures import SquareEditor, draw_photo, running_page

ROOT = Path(__file__).parent.parent


def test_old_files_go_and_new_ones_and_the_pages_own_stay(tmp_path: Path):
    old, example = tmp_path / "one" / "old.png", tmp_path / "example.jpg"
    (tmp_path / "empty").mkdir()
    old.parent.mkdir()
    for path in (old, example):
        path.write_bytes(b"x")
    time.sleep(0.4)
    new = tmp_path / "two" / "new.png"
    new.parent.mkdir()
    new.write_bytes(b"x")
    os.utime(new, (0, 0))  # a copy with the time stamp of its original
    remove_old_files(tmp_path, 0.3, {example})
    assert not old.exists() and not (tmp_path / "empty").exists() and example.exists() and new.exists()
    assert old.parent.exists()  # it changed when its file went
    for _ in range(2):
        time.sleep(0.4)
        remove_old_files(tmp_path, 0.3, {example})
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["example.jpg"]


def test_folders_of_killed_processes_go_and_those_of_others_stay(tmp_path: Path):
    prefix = "agetransformer-uploads-"
    own, killed, running, alike, strange = (
        tmp_path / name
        for name in (f"{prefix}own", f"{prefix}killed", f"{prefix}running", f"{prefix}1", "agetransformer-2")
    )
    for folder in (own, killed, running, alike, strange):
        folder.mkdir()
        (folder / "photo.png").write_bytes(b"x")
    for folder in (own, killed, running):
        (folder / ".agetransformer-uploads").touch()
    for folder in (own, killed, alike, strange):
        os.utime(folder, (0, 0))
    remove_orphans(own, 60)
    assert all(folder.exists() for folder in (own, running, alike, strange)) and not killed.exists()


def test_the_upload_folder_is_private_and_ends_with_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for given in (None, str(tmp_path / "cache")):
        if given is None:
            monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
        else:
            monkeypatch.setenv("GRADIO_TEMP_DIR", given)
        with own_upload_folder() as folder:
            assert gr.utils.get_upload_folder() == str(folder) and folder.stat().st_mode & 0o077 == 0
            assert given is None or folder.parent == Path(given)
            (folder / "left.png").write_bytes(b"x")
        assert not folder.exists() and os.environ.get("GRADIO_TEMP_DIR") == given


def test_tabs_that_nobody_uses_are_forgotten(tmp_path: Path):
    with gr.Blocks() as page:
        state = gr.State([1])
        gr.Button().click(lambda x: x, state, state)
    page.launch(prevent_thread_lock=True, quiet=True)
    try:
        holder = page.state_holder
        holder["old"].blocks_config, holder["new"].blocks_config  # as any request of a tab does
        holder.time_last_used["old"] = holder.time_last_used["old"].replace(year=2020)
        forget_sessions(page, 3600)
        assert "old" not in holder.session_data and "new" in holder.session_data
        assert set(holder.time_last_used) == {"new"}
    finally:
        page.close()


def test_an_idle_tab_is_forgotten_while_the_page_runs(tmp_path: Path):
    from app import build_app  # the page that `running_page` builds is not handed out

    config = PageConfig(state_seconds=1, files_seconds=1, files_check_seconds=1)
    pages: list[gr.Blocks] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.build_app", lambda *given: pages.append(build_app(*given)) or pages[-1])
        with running_page(SquareEditor(), tmp_path / "server", config):
            holder = pages[0].state_holder
            assert holder["tab"] is not None
            deadline = time.monotonic() + 20
            while "tab" in holder.session_data and time.monotonic() < deadline:
                time.sleep(0.2)
            assert "tab" not in holder.session_data


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals that a process can answer")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])  # a supervisor's, and that of a terminal that is closed
def test_a_stopped_app_leaves_no_photo_behind(name: str, tmp_path: Path):
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path / "cache"), "PYTHONUNBUFFERED": "1"}
    app = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # Where tests run by nohup, it is ignored.
        preexec_fn=lambda: signal.signal(getattr(signal, name), signal.SIG_DFL),
    )
    try:
        assert app.stdout is not None
        address = next(line.split()[2] for line in app.stdout if line.startswith("Serving at"))
        photo = draw_photo(tmp_path / "secret.png", (64, 64))
        with photo.open("rb") as file:
            httpx.post(
                f"{address}gradio_api/upload", files={"files": ("secret.png", file, "image/png")}
            ).raise_for_status()
        assert list((tmp_path / "cache").rglob("secret.png"))
        app.send_signal(getattr(signal, name))
        app.wait(timeout=60)
        assert not list((tmp_path / "cache").rglob("agetransformer-*")) and not list(tmp_path.glob("cache/**/*.png"))
    finally:
        app.kill()
        app.wait()
