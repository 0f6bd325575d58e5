"""The tab for a short video."""

from functools import partial
from pathlib import Path
from typing import Any, cast

import gradio as gr

from agetransformer.page import figures
from agetransformer.page.abandoned import stop_if_abandoned
from agetransformer.page.area import add_area
from agetransformer.page.components import BoundedSlider, FileInput
from agetransformer.page.errors import as_sentences
from agetransformer.page.gpu import on_gpu
from agetransformer.page.languages import Wording, texts_of
from agetransformer.page.runs import add_run
from agetransformer.page.studio import Studio, StudioError
from agetransformer.video import VideoConfig, edit_video

_SECONDS = 90  # of a lent GPU
_KINDS = ["video", ".mp4", ".mov", ".webm", ".mkv", ".avi", ".m4v", ".3gp"]  # servers know no type for some of these


def add_clip(studio: Studio, words: Wording, language: gr.Radio) -> None:
    """Build the tab and its events in the gr.Blocks that is being built."""
    config = studio.config
    with gr.Column(elem_id="video", elem_classes="narrow"):
        hint = gr.HTML(padding=False)
        limits = {"seconds": config.clip_seconds, "megabytes": config.upload_megabytes}
        words.add(hint, "value", lambda texts: f'<p class="hint">{texts.video_hint.format(**limits)}</p>')
        clip = FileInput(file_types=_KINDS, height=160, buttons=[], elem_id="clip")
        words.add(clip, "label", lambda texts: texts.clip)
        age = BoundedSlider(config.youngest, config.oldest, 65, step=1, buttons=[], elem_id="clip-age")
        words.add(age, "label", lambda texts: texts.age)
        hair = add_area(words, "clip-area")
        mark = gr.Checkbox(elem_id="clip-mark")
        words.add(mark, "label", lambda texts: texts.mark)
        start = gr.Button(variant="primary", elem_id="make-clip")
        words.add(start, "value", lambda texts: texts.make_video)
        status = gr.HTML(figures.status(""), padding=False, elem_id="clip-status", elem_classes="status")
        result = gr.HTML(visible=False, padding=False, elem_id="clip-result")
        download = gr.DownloadButton(visible=False, elem_id="get-clip")
        words.add(download, "label", lambda texts: texts.download_film)

    def check(path: str | None) -> None:
        if path is None:
            raise StudioError(lambda texts: texts.no_video)
        if not Path(path).is_file():
            raise StudioError(lambda texts: texts.clip_expired)

    @partial(on_gpu, seconds=_SECONDS)
    def make_clip(
        path: str | None,
        age: float,
        hair: bool,
        mark: bool,
        language: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - gradio looks for it here
    ) -> dict[gr.blocks.Block, Any]:
        texts = texts_of(language)

        def tell(done: float) -> None:
            stop_if_abandoned()
            progress(done, desc=texts.video_progress)

        try:
            with as_sentences(texts):
                check(path)
                target = studio.new_file(f"age_{age:g}.mp4")
                options = VideoConfig(
                    longest=config.clip_seconds,
                    most_frames=config.clip_frames,
                    max_side=config.clip_side,
                    hair=hair,
                    mark=mark,
                )
                report = edit_video(studio.editor, cast(str, path), target, age, options, tell)
        except gr.Error as error:
            hidden = gr.update(visible=False)
            return {status: figures.status(error.message, trouble=True), result: hidden, download: hidden}
        done = texts.video_done.format(edited=report.edited, frames=report.frames)
        return {
            status: figures.status(f"{done} {texts.kept_for(config.files_seconds)}"),
            result: gr.update(value=figures.film(str(target), texts.video_result, muted=False), visible=True),
            download: gr.update(value=str(target), visible=True),
        }

    add_run(start, make_clip, check, [clip], [age, hair, mark, language], language, status, [result, download])
