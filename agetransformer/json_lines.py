"""A process that serves another over its standard streams: one line of JSON a request, one an answer.

Before the first request it answers {"ready": true}, or {"fatal": sentence}. It ends with its standard input.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import IO


class NotReady(RuntimeError):
    """The process cannot serve. The message is its own sentence, empty where it ended without a word."""


class Died(RuntimeError):
    """The process ended over a request; the message has the exit code."""


def serve(service: AbstractContextManager[Callable[[dict], dict]]) -> None:
    """Answer the requests on standard input until it ends.

    Args:
        service: opens to the function from a request to its answer; an error while it opens is {"fatal": ...}.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not get between the answers
    with ExitStack() as stack:
        try:
            answer = stack.enter_context(service)
        except (ValueError, RuntimeError, ImportError) as error:  # a CheckpointError is a ValueError
            print(json.dumps({"fatal": str(error)}), file=answers)
            return
        print(json.dumps({"ready": True}), file=answers)
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), file=answers)


class Worker:
    """A process that runs a module which calls `serve`. It ends with `close`, or with this process."""

    def __init__(self, module: str, arguments: Sequence[str] = (), errors: IO[bytes] | int = subprocess.DEVNULL):
        """
        Args:
            errors: where what the process and its libraries print goes.
        Raises:
            NotReady: it cannot serve.
            OSError: it cannot be started.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,  # it ends when this pipe does, so also when this process is killed
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for this process: a worker would die in the middle of a request
        )
        assert self._process.stdin is not None and self._process.stdout is not None  # pipes, both
        self._requests, self._answers = self._process.stdin, self._process.stdout
        hello = json.loads(self._answers.readline() or '{"fatal": ""}')
        if "fatal" in hello:
            self.close()
            raise NotReady(hello["fatal"])

    def ask(self, request: dict) -> dict:
        """The answer to a request.

        Raises:
            Died: there is none, and will be none.
        """
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
            line = self._answers.readline()
        except BrokenPipeError:
            line = ""
        if line.endswith("\n"):
            return json.loads(line)
        self.close()
        raise Died(f"exit code {self._process.returncode}")

    def close(self) -> None:
        """End the process; closing twice is fine."""
        with suppress(BrokenPipeError):
            self._requests.close()
        self._process.wait()
        self._answers.close()
