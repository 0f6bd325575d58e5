"""What users leave on the server is gone in time.

gradio deletes the files that it remembers, and keeps the last pictures of a tab in memory; a process that is killed
remembers nothing. So each process has a folder of its own, looks for what is too old by itself, and removes what a
killed one beside it has left.
"""

import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import gradio as gr

from agetransformer.page.config import PageConfig

_logger = logging.getLogger(__name__)
_PREFIX, _MARKER = "agetransformer-uploads-", ".agetransformer-uploads"  # of a folder, and a file in it: it is ours
_MISSED = 3  # looks: a folder that its process has not touched for so long is nobody's any more


@contextmanager
def own_upload_folder() -> Iterator[Path]:
    """Let gradio keep uploads and results in a new folder that only this user can read, removed at the end."""
    previous = os.environ.get("GRADIO_TEMP_DIR")
    if previous:
        Path(previous).mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=previous or None))
    (folder / _MARKER).touch()
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    try:
        yield folder
    finally:
        if previous is None:
            del os.environ["GRADIO_TEMP_DIR"]
        else:
            os.environ["GRADIO_TEMP_DIR"] = previous
        shutil.rmtree(folder, ignore_errors=True)


def watch_expiry(page: gr.Blocks, config: PageConfig, forget_photos: Callable[[], None]) -> None:
    """Look for what is too old every `config.files_check_seconds`; call it before `page` is served.

    What is in the upload folder already is the page's own and stays.

    Args:
        forget_photos: drops what is in memory of photos whose files are gone.
    """
    folder = Path(gr.utils.get_upload_folder())
    kept = {path for path in folder.rglob("*") if path.is_file()}

    def watch() -> None:
        if (folder / _MARKER).exists():  # who starts it for minutes at a time would never get to the first look
            remove_orphans(folder, _MISSED * config.files_check_seconds)
        while True:
            began = time.time()
            time.sleep(config.files_check_seconds)
            try:
                if (folder / _MARKER).exists():
                    os.utime(folder)
                    if time.time() - began < 2 * config.files_check_seconds:  # or all slept, the machine too
                        remove_orphans(folder, _MISSED * config.files_check_seconds)
                remove_old_files(folder, config.files_seconds, kept)
                forget_photos()
                if hasattr(page, "state_holder"):  # it is served
                    forget_sessions(page, config.files_seconds)
            except Exception:  # the next look is as important
                _logger.exception("looking for what is too old failed")

    threading.Thread(target=watch, name="expiry", daemon=True).start()


def remove_old_files(folder: Path, seconds: float, kept: set[Path]) -> None:
    """Remove files that have been there for longer than `seconds`, but for those `kept`, and folders left empty."""
    for root, folders, files in os.walk(folder, topdown=False):
        for path in (Path(root, name) for name in files):
            if path not in kept and _age(path) > seconds:
                with suppress(OSError):
                    path.unlink()
        for path in (Path(root, name) for name in folders):
            if _age(path) > seconds:
                with suppress(OSError):  # it is not empty
                    path.rmdir()


def remove_orphans(folder: Path, seconds: float) -> None:
    """Remove the folders beside this one that no process has touched for `seconds`."""
    for other in folder.parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else removes it too, or it is another user's
            if other != folder and (other / _MARKER).is_file() and time.time() - other.stat().st_mtime > seconds:
                shutil.rmtree(other, ignore_errors=True)


def forget_sessions(page: gr.Blocks, seconds: float) -> None:
    """Drop what gradio remembers of tabs that have not been used for `seconds`: their last pictures among it."""
    holder = page.state_holder
    for session, used in list(holder.time_last_used.items()):
        if time.time() - used.timestamp() > seconds:
            holder.delete_state(session)
            with holder.lock:
                holder.session_data.pop(session, None)
                holder.time_last_used.pop(session, None)


def _age(path: Path) -> float:
    """How many seconds ago a file came to where it is; a copy may have the time stamp of its original."""
    try:
        status = path.stat()
    except OSError:  # it is gone
        return 0.0
    return time.time() - max(status.st_mtime, status.st_ctime)
