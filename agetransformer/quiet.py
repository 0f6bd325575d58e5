"""Keeping MediaPipe's own log out of the terminal: a dozen lines about its delegates hide the sentences that matter."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def native_log_aside() -> Iterator[None]:
    """What libraries write to standard error waits in a file, and is shown if an exception ends the block.

    What Python writes to sys.stderr is shown at once, as ever. For a command line: it changes file descriptor 2.
    """
    python_stderr = sys.stderr
    if python_stderr is None:  # closed
        yield
        return
    encoding, errors = python_stderr.encoding, python_stderr.errors
    with (
        tempfile.TemporaryFile() as log,
        os.fdopen(os.dup(2), "wb") as terminal,
        os.fdopen(os.dup(2), "w", buffering=1, encoding=encoding, errors=errors) as shown,
    ):
        os.dup2(log.fileno(), 2)
        sys.stderr = shown
        try:
            yield
        except Exception:
            log.seek(0)
            terminal.write(log.read())
            terminal.flush()
            raise
        finally:
            sys.stderr = python_stderr
            os.dup2(terminal.fileno(), 2)
