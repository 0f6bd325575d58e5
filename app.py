"""The web page (a Gradio Space): wiring only. Its texts, look and logic are in agetransformer/page/."""

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from agetransformer.editor import AgeEditor
from agetransformer.page import figures, style, texts
from agetransformer.page.components import PhotoInput, PreviewSlider
from agetransformer.page.config import PageConfig
from agetransformer.page.endpoints import add_endpoints
from agetransformer.page.errors import as_sentences
from agetransformer.page.gpu import on_gpu
from agetransformer.page.studio import Studio, Visit

EXAMPLES = Path(__file__).parent / "assets"
EDITS = "edits"  # one queue for all that computes
START_DOWNLOAD = """(file) => {
  const link = document.createElement('a');
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}"""


def build_app(editor: AgeEditor, config: PageConfig) -> gr.Blocks:
    """The page and its API endpoints; `launch_app` serves it."""
    studio = Studio(editor, config, gr.utils.get_upload_folder())

    with gr.Blocks(title=texts.TITLE, analytics_enabled=False, delete_cache=(600, config.files_seconds)) as app:
        state = gr.State(time_to_live=config.state_seconds, delete_callback=studio.close)
        gr.HTML(texts.HEADER, elem_id="header")
        with gr.Row(equal_height=False):
            with gr.Column(scale=2, min_width=300, elem_id="start"):
                photo = PhotoInput(
                    label=texts.PHOTO_LABEL,
                    sources=["upload", "webcam", "clipboard"],
                    height=340,
                    placeholder=texts.DROP_HERE,
                    buttons=[],
                    elem_id="photo",
                )
                status = gr.HTML(figures.status(texts.WAITING), elem_id="status")
                faces = gr.HTML(visible=False, js_on_load=figures.ON_CLICK)
                with gr.Column() as samples:
                    examples = sorted(map(str, EXAMPLES.glob("*.jpg")))
                    gr.Examples(examples, photo, label=texts.EXAMPLES_LABEL, api_visibility="private")
            with gr.Column(scale=3, min_width=320, visible=False) as result:
                compare = PreviewSlider(
                    label=texts.COMPARE_LABEL,
                    show_label=False,
                    max_height=460,
                    buttons=["fullscreen"],
                    elem_id="compare",
                )
                slider = gr.Slider(
                    config.youngest, config.oldest, step=1, label=texts.SLIDER_LABEL, buttons=[], elem_id="age"
                )
                with gr.Row():
                    get_photo = gr.Button(texts.DOWNLOAD_PHOTO, variant="primary", elem_id="get-photo")
                    get_grid = gr.Button(texts.DOWNLOAD_GRID, elem_id="get-grid")
                file = gr.DownloadButton(visible="hidden", elem_id="file")
        with gr.Column(visible=False) as strip:
            ages = gr.HTML(js_on_load=figures.ON_CLICK, elem_id="ages")
        with gr.Accordion(texts.ABOUT_LABEL, open=False):
            gr.Markdown(texts.ABOUT)
        with gr.Accordion(texts.API_LABEL, open=False):
            gr.Markdown(texts.API)

        def empty(visit: Visit | None, sentence: str, trouble: bool = False) -> dict[gr.Component, Any]:
            studio.close(visit)
            hidden = gr.update(visible=False)
            return {
                state: None,
                status: figures.status(sentence, trouble),
                faces: hidden,
                result: hidden,
                strip: hidden,
                samples: gr.update(visible=True),
            }

        def show(visit: Visit) -> Iterator[dict[gr.Component, Any]]:
            """The chosen face at once, then each age as it is ready; the furthest one goes into the photo."""
            workspace = studio.workspace(visit)
            face, thumbnails = workspace.encoding.face, [figures.thumbnail(found.image) for found in workspace.faces]
            target = max(config.grid_ages, key=lambda age: abs(age - face.age))
            edited: dict[float, str] = {}
            picker = figures.face_picker(thumbnails, [found.age for found in workspace.faces], visit.face)
            yield {
                state: visit,
                status: figures.status(texts.detected(face.age)),
                faces: gr.update(value=picker, visible=len(thumbnails) > 1),
                result: gr.update(visible=True),
                strip: gr.update(visible=True),
                samples: gr.update(visible=False),
                ages: figures.age_row(thumbnails[visit.face], face.age, config.grid_ages, edited),
                compare: gr.update(
                    value=(workspace.preview, workspace.preview), slider_position=100 * studio.face_x(visit)
                ),
                slider: target,
            }
            for age, image in zip(config.grid_ages, studio.faces_at(visit, config.grid_ages), strict=True):
                edited[age] = figures.thumbnail(studio.face_only(visit, image))
                update = {ages: figures.age_row(thumbnails[visit.face], face.age, config.grid_ages, edited)}
                if age == target:
                    update[compare] = (workspace.preview, studio.paste_preview(visit, image))
                yield update

        @on_gpu
        def open_photo(path: str | None, visit: Visit | None) -> Iterator[dict[gr.Component, Any]]:
            if path is None:
                yield empty(visit, texts.WAITING)
                return
            yield empty(visit, texts.LOOKING)
            try:
                with as_sentences():
                    yield from show(studio.open(path))
            except gr.Error as error:
                yield empty(None, error.message, trouble=True)

        @on_gpu
        def show_face(visit: Visit, index: int) -> Iterator[dict[gr.Component, Any]]:
            with as_sentences():
                yield from show(studio.choose(visit, index))

        def choose_face(visit: Visit, event: gr.EventData) -> Iterator[dict[gr.Component, Any]]:
            yield from show_face(visit, event.value)

        def choose_age(event: gr.EventData) -> float:
            return event.value

        @on_gpu
        def show_age(visit: Visit, age: float) -> tuple:
            with as_sentences():
                return studio.workspace(visit).preview, studio.preview_at(visit, age)

        @on_gpu
        def save_photo(visit: Visit, age: float) -> str:
            with as_sentences():
                return studio.save(next(studio.photos_at(visit, [age])), f"age_{age:g}", age)

        @on_gpu
        def save_grid(visit: Visit) -> str:
            with as_sentences():
                return studio.save(studio.grid(visit), "ages", config.grid_ages)

        quiet = {"api_visibility": "private", "concurrency_id": EDITS, "show_progress": "hidden"}
        page = [state, status, faces, samples, result, strip, ages, compare, slider]
        photo.change(open_photo, [photo, state], page, **quiet)
        faces.click(choose_face, [state], page, **quiet)
        slider.input(show_age, [state, slider], compare, trigger_mode="always_last", **quiet)
        ages.click(choose_age, None, slider, api_visibility="private", queue=False, show_progress="hidden").then(
            show_age, [state, slider], compare, **quiet
        )
        for button, function, inputs in ((get_photo, save_photo, [state, slider]), (get_grid, save_grid, [state])):
            button.click(
                function, inputs, file, api_visibility="private", concurrency_id=EDITS, show_progress_on=button
            ).success(None, file, js=START_DOWNLOAD, api_visibility="private")
        add_endpoints(studio, EDITS)

    return app.queue(max_size=config.queue_size, default_concurrency_limit=config.concurrency)


def launch_app(app: gr.Blocks, config: PageConfig, open_browser: bool = False) -> str:
    """Serve the page in the background, locked down; returns its address.

    GRADIO_SERVER_NAME and GRADIO_SERVER_PORT change where; by default only this machine is served.
    """
    _, address, _ = app.launch(
        inbrowser=open_browser,
        prevent_thread_lock=True,
        quiet=True,
        show_error=False,
        share=False,
        allowed_paths=[],
        blocked_paths=[str(Path(__file__).parent / "checkpoints")],
        max_file_size=config.max_file_size,
        state_session_capacity=config.sessions_kept,
        strict_cors=True,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        run_history=False,
        footer_links=["api"],
        theme=style.theme(),
        css=style.CSS,
    )
    return address


def main() -> None:
    """Serve the page until it is stopped."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--checkpoint", help='other weights: a folder or "owner/repo" (default: those in checkpoints/)')
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    config = PageConfig()
    try:
        editor = AgeEditor.from_pretrained(arguments.checkpoint, device=arguments.device)
    except ValueError as error:  # a checkpoint or a device that is not there; the message says what to do
        parser.error(str(error))
    app = build_app(editor, config)
    print(f"Serving at {launch_app(app, config, arguments.open)} (Ctrl+C stops it)", flush=True)
    editor.warm_up()  # the page answers meanwhile
    app.block_thread()


if __name__ == "__main__":
    main()
