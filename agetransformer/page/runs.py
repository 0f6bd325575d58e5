"""The button of a tab that computes for long: what is wrong is said at once, and it is pressed once at a time."""

from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.components import Component

from agetransformer.page import figures
from agetransformer.page.errors import as_sentences
from agetransformer.page.languages import texts_of
from agetransformer.page.one_photo import EDITS


def add_run(
    start: gr.Button,
    run: Callable[..., dict[Block, Any]],
    check: Callable[..., None],
    checked: list[Component],
    options: list[Component],
    language: gr.Radio,
    status: gr.HTML,
    results: list[Component],
) -> None:
    """Let the button start a run, in the gr.Blocks that is being built.

    Args:
        run: takes the values of `checked` and `options`; returns updates of `status` and `results`.
        check: takes the values of `checked`; raises what is wrong, before anything waits in the queue or borrows a GPU.
        checked: what is worked on; progress is shown on the first.
        options: of the run.
    """

    def begin(*values: Any) -> tuple:
        """What a run made before goes first, so that nobody takes it for this one's."""
        try:
            check(*values)
        except Exception:
            raise gr.Error(visible=False, print_exception=False) from None  # `explain` says it in its place
        return figures.status(""), gr.update(interactive=False), *(gr.update(visible=False) for _ in results)

    def explain(language: str, *values: Any) -> tuple:
        hidden = [gr.update(visible=False) for _ in results]
        try:
            with as_sentences(texts_of(language)):
                check(*values)
        except gr.Error as error:
            return figures.status(error.message, trouble=True), *hidden
        return figures.status(""), *hidden

    def too_busy(language: str) -> str:
        return figures.status(texts_of(language).busy, trouble=True)

    def open_button() -> Any:
        return gr.update(interactive=True)

    at_once: dict[str, Any] = {"api_visibility": "private", "queue": False, "show_progress": "hidden"}
    begun = start.click(begin, checked, [status, start, *results], **at_once)
    begun.failure(explain, [language, *checked], [status, *results], **at_once)
    done = begun.success(
        run,
        [*checked, *options],
        [status, *results],
        api_visibility="private",
        concurrency_id=EDITS,
        show_progress_on=checked[0],
    )
    done.failure(too_busy, language, status, **at_once)
    for ended in (done.success, done.failure):
        ended(open_button, None, start, **at_once)
