"""Which files a visitor may name."""

from pathlib import Path

import gradio as gr
from gradio.blocks import Block


def require_file(url_or_file_path: str | Path | None) -> None:
    """
    Raises:
        gr.Error: it is an address. gradio would fetch it, all of it into memory and for as long as its host likes,
            while everybody else waits.
    """
    if isinstance(url_or_file_path, str) and url_or_file_path.strip().lower().startswith(("http:", "https:")):
        raise gr.Error("Please upload the file itself; an address cannot be named.", print_exception=False)


def refuse_addresses(app: gr.Blocks) -> None:
    """Let no input of the page or its API be named by an address.

    Those whose words change with the language have classes of their own that see to it (components.py): gradio makes
    them anew for a visitor, without what is done to them here.
    """

    def guard(block: Block) -> None:
        move = block.async_move_resource_to_block_cache

        async def move_upload(url_or_file_path: str | Path | None) -> str | None:
            require_file(url_or_file_path)
            return await move(url_or_file_path)

        block.async_move_resource_to_block_cache = move_upload  # type: ignore[method-assign]

    for block in {id(one): one for function in app.fns.values() for one in function.inputs}.values():
        guard(block)


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
