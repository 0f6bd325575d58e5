"""When a training stops before all its images are seen: at a wall time, or when it is asked to; saved either way."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import PartialState
from accelerate.utils import reduce

CLOCK_EVERY = 10  # steps between two looks at the clock, which cost a GPU its queue
_REQUESTS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; what a cluster sends before it takes a machine away


class Deadline:
    """Counts from when it is made."""

    def __init__(self, minutes: float = float("inf")):
        self._end = time.monotonic() + 60 * minutes
        self._asked = False

    @contextmanager
    def heeding_signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the training after its step; a second one does what it would have done without this.

        What is ignored, as Ctrl-C is in the background of a script, stays so. In the main thread only: Python gives no
        other one signals, so elsewhere nothing happens.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers = {number: signal.getsignal(number) for number in _REQUESTS}
        before = {number: handler for number, handler in handlers.items() if handler is not signal.SIG_IGN}

        def restore() -> None:
            for number, handler in before.items():
                signal.signal(number, handler)

        def stop(number: int, frame: object) -> None:
            self._asked = True
            restore()
            print("\nstopping after this step, saved; once more to stop at once", file=sys.stderr, flush=True)

        for number in before:
            signal.signal(number, stop)
        try:
            yield
        finally:
            restore()

    def is_over(self, step: int) -> bool:
        """Whether the time is up or a stop was asked for; of many processes, by the first clock or signal of any."""
        over = self._asked or time.monotonic() >= self._end
        state = PartialState()
        if state.num_processes == 1:
            return over
        return step % CLOCK_EVERY == 0 and bool(reduce(torch.tensor(float(over), device=state.device), "sum").item())
