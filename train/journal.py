"""A journal: JSON lines that are only ever appended, so that a kill at any moment loses at most the last one."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_journal(path: Path, key: dict) -> Iterator[tuple[list[dict], Callable[[dict], None]]]:
    """Open a journal, or begin it anew when it belongs to another `key` (the settings that its entries depend on).

    Yields:
        The entries so far, and a function that appends one.
    """
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []  # a line without its end was cut off
    head = json.dumps(key, sort_keys=True).encode()
    if not lines or lines[0] != head:
        lines = [head]
        aside = path.with_name(path.name + ".part")
        aside.write_bytes(head + b"\n")
        os.replace(aside, path)
    with path.open("r+b") as file:
        file.truncate(sum(len(line) + 1 for line in lines))
        file.seek(0, os.SEEK_END)

        def append(entry: dict) -> None:
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()

        yield [json.loads(line) for line in lines[1:]], append
