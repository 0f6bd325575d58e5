"""Borrowing a GPU where the host lends one per call (Hugging Face ZeroGPU)."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

try:
    # At import, before anything asks PyTorch for a device: on ZeroGPU it is this package that makes CUDA appear.
    import spaces
except ImportError:
    spaces = None

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def on_gpu(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """spaces.GPU where the `spaces` package is installed; everywhere else the function itself."""
    return function if spaces is None else spaces.GPU(function)
