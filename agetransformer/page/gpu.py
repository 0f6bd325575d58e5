"""Borrowing a GPU where the host lends one per call (Hugging Face ZeroGPU).

A call that is lent one runs in a forked process: what goes in and what comes out is pickled, and no gradio component
can be. So a result that is keyed by components travels keyed by their numbers. What happens in the page meanwhile, such
as a visit that is closed, is not known there.
"""

import functools
import inspect
import os
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

from gradio.blocks import Block
from gradio.context import get_blocks_context

try:
    # At import, before anything asks PyTorch for a device: on ZeroGPU it is this package that makes CUDA appear.
    import spaces
except ImportError:
    spaces = None

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_SECONDS = 60  # what ZeroGPU lends by default


def lends_gpu() -> bool:
    """Whether the host lends a GPU for a call's length, and only then is there one. Other Spaces have `spaces` too."""
    return spaces is not None and os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def on_gpu(
    function: Callable[Parameters, Result], seconds: int | Callable[..., int] = _SECONDS
) -> Callable[Parameters, Result]:
    """spaces.GPU where the `spaces` package is installed; everywhere else the function itself.

    Args:
        function: returns or yields its result; made while the gr.Blocks is built whose components its result names.
        seconds: the longest that it may take on a lent GPU, of which the user's quota must have as much left; a number,
            or a function of the same arguments.
    """
    if spaces is None:
        return function
    blocks = get_blocks_context()
    known: dict[int, Block] = {} if blocks is None else blocks.blocks

    def by_number(result: Any) -> Any:
        if isinstance(result, dict) and result and all(isinstance(key, Block) for key in result):
            return _ByNumber({key._id: value for key, value in result.items()})
        return result

    def by_component(result: Any) -> Any:
        return {known[number]: value for number, value in result.items()} if isinstance(result, _ByNumber) else result

    lent = spaces.GPU(duration=seconds)(_translated(function, by_number))
    return functools.wraps(function)(_translated(lent, by_component))


def _translated(function: Callable[..., Any], translate: Callable[[Any], Any]) -> Callable[..., Any]:
    """The function, with `translate` of what it returns, or of each result that it yields."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def steps(*arguments: Any, **named: Any) -> Iterator[Any]:
            for result in function(*arguments, **named):
                yield translate(result)

        return steps

    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return translate(function(*arguments, **named))

    return call


class _ByNumber(dict[int, Any]):
    """A result whose keys were components."""
