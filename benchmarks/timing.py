"""Medians and quartiles, and a stopwatch that says where the time of a call goes."""

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Seconds over the rounds."""

    median: float
    quartile1: float
    quartile3: float

    @staticmethod
    def of(seconds: list[float]) -> "Timing":
        q1, median, q3 = np.percentile(seconds, (25, 50, 75))
        return Timing(float(median), float(q1), float(q3))


@dataclass
class Stopwatch:
    """Adds up the time of each stage, without the stages that run within it.

    What runs in another thread is counted apart, as "<stage>, beside".
    """

    seconds: dict[str, float] = field(default_factory=dict)
    _thread: threading.local = field(default_factory=threading.local)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        within = self._thread.__dict__.setdefault("within", [])  # for each stage that runs: the time of those within it
        if threading.current_thread() is not threading.main_thread():
            name = f"{name}, beside"
        within.append(0.0)
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - start
            self.seconds[name] = self.seconds.get(name, 0.0) + spent - within.pop()
            if within:
                within[-1] += spent

    def one_after_the_other(self) -> float:
        """Seconds of the stages that did not run beside others."""
        return sum(seconds for name, seconds in self.seconds.items() if not name.endswith(", beside"))

    @contextmanager
    def watching(self, stages: dict[str, tuple[Any, str]]) -> Iterator[None]:
        """While it is open, the functions that `stages` names, as (owner, attribute), are timed in every call."""
        originals = {name: getattr(owner, attribute) for name, (owner, attribute) in stages.items()}
        for name, (owner, attribute) in stages.items():
            setattr(owner, attribute, self._timed(name, originals[name]))
        try:
            yield
        finally:
            for name, (owner, attribute) in stages.items():
                setattr(owner, attribute, originals[name])

    def _timed(self, name: str, function: Callable) -> Callable:
        @functools.wraps(function)
        def timed(*positional: Any, **named: Any) -> Any:
            with self.stage(name):
                return function(*positional, **named)

        return timed
