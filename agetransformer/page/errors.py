"""Errors as sentences: nobody gets to see a traceback."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from agetransformer.footage import VideoError
from agetransformer.imageio import PhotoError
from agetransformer.page.english import ENGLISH
from agetransformer.page.studio import StudioError, VisitClosedError
from agetransformer.page.texts import Texts

_log = logging.getLogger(__name__)


def sentence_of(error: Exception, texts: Texts) -> str:
    """What the user is told; the unforeseen is logged, without its message, which may name a user's file."""
    if isinstance(error, StudioError):
        return error.sentence(texts)
    if isinstance(error, (PhotoError, VideoError)):
        return texts.of(str(error))
    if isinstance(error, gr.Error):
        return error.message
    where = "".join(traceback.format_tb(error.__traceback__))
    _log.error("a request failed with %s at\n%s", type(error).__name__, where)
    return texts.failed


@contextmanager
def as_sentences(texts: Texts = ENGLISH) -> Iterator[None]:
    """Turn whatever is raised inside into a gr.Error that tells the user what to do."""
    try:
        yield
    except Exception as error:
        told = not isinstance(error, VisitClosedError)
        raise gr.Error(sentence_of(error, texts), visible=told, print_exception=False) from None
