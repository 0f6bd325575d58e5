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
    terminal = os.dup(2)
    python_stderr = sys.stderr
    with tempfile.TemporaryFile() as log, os.fdopen(os.dup(terminal), "w", buffering=1) as shown:
        os.dup2(log.fileno(), 2)
        sys.stderr = shown
        try:
            yield
        except Exception:
            log.seek(0)
            os.write(terminal, log.read())
            raise
        finally:
            sys.stderr = python_stderr
            os.dup2(terminal, 2)
            os.close(terminal)
