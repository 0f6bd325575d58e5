"""Errors as sentences: nobody gets to see a traceback."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from agetransformer.imageio import PhotoError
from agetransformer.page import texts
from agetransformer.page.studio import StudioError

_log = logging.getLogger(__name__)


@contextmanager
def as_sentences() -> Iterator[None]:
    """Turn whatever is raised inside into a gr.Error that tells the user what to do; the unforeseen is logged too."""
    try:
        yield
    except (PhotoError, StudioError) as error:
        raise gr.Error(str(error), print_exception=False) from error
    except gr.Error:
        raise
    except Exception as error:
        _log.exception("a request failed")
        raise gr.Error(texts.FAILED, print_exception=False) from error
