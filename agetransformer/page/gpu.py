"""Borrowing a GPU where the host lends one per call (Hugging Face ZeroGPU)."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def on_gpu(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """spaces.GPU where the `spaces` package is installed; everywhere else the function itself."""
    if find_spec("spaces") is None:
        return function
    import spaces

    return spaces.GPU(function)
