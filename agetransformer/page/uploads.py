"""Which files a visitor may name."""

from pathlib import Path

import gradio as gr


def checked_upload(path: object) -> str:
    """The path of an uploaded file, or of one of the page's examples, which gradio copies to where uploads are.

    gradio itself lets any path pass that does not call itself a file.

    Raises:
        gr.Error: another file of the server.
    """
    folder = Path(gr.utils.get_upload_folder()).resolve()
    if not isinstance(path, str) or not Path(path).resolve().is_relative_to(folder):
        raise gr.Error("Please upload the photo; a file of the server cannot be named.", print_exception=False)
    return path
