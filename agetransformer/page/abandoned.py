"""Work that nobody waits for any more: gradio itself would finish it, while everybody else waits behind it."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from gradio.context import LocalContext

from agetransformer.page.studio import VisitClosedError

Item = TypeVar("Item")


def is_abandoned() -> bool:
    """Whether the tab or client that asked for the event that is being computed here has gone.

    Not known in the process that ZeroGPU forks, where a call has an end of its own.
    """
    blocks, event_id = LocalContext.blocks.get(None), LocalContext.event_id.get(None)
    if blocks is None or event_id is None:
        return False
    event = blocks._queue.event_ids_to_events.get(event_id)
    return event is not None and not event.alive


def stop_if_abandoned() -> None:
    """
    Raises:
        VisitClosedError: nobody waits any more.
    """
    if is_abandoned():
        raise VisitClosedError


def while_awaited(items: Iterable[Item]) -> Iterator[Item]:
    """The items, as long as somebody waits for what becomes of them; then VisitClosedError."""
    for item in items:
        stop_if_abandoned()
        yield item
