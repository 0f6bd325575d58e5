"""Files that appear under their name only when they are whole."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` at the end, or goes if anything fails."""
    path = Path(path)
    aside = path.with_name(f".{secrets.token_hex(8)}.part")  # of its own: others may write the same file
    try:
        yield aside
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def written_through(path: str | os.PathLike[str]) -> None:
    """Wait until a file's content, or a folder's names, are on the disk; a file system that cannot is left alone."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
