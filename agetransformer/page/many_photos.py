"""The tab for many photos at once."""

from functools import partial
from html import escape
from typing import Any

import gradio as gr

from agetransformer.page import figures
from agetransformer.page.abandoned import stop_if_abandoned
from agetransformer.page.batch import check_batch, edit_batch
from agetransformer.page.components import FileInput
from agetransformer.page.errors import as_sentences
from agetransformer.page.gpu import on_gpu
from agetransformer.page.languages import Wording, texts_of
from agetransformer.page.runs import add_run
from agetransformer.page.studio import Look, Studio

_MOST_SECONDS = 120  # of a lent GPU: what a visitor without an account has in a day
_AGES = list(range(20, 66, 5))
_KINDS = ["image", ".jpg", ".jpeg", ".jfif", ".png", ".webp", ".heic", ".heif", ".hif"]
_KINDS += [".avif", ".tif", ".tiff", ".gif"]


def add_many_photos(studio: Studio, words: Wording, language: gr.Radio) -> None:
    """Build the tab and its events in the gr.Blocks that is being built."""
    config = studio.config
    megabytes = config.batch_bytes // 1_000_000
    with gr.Column(elem_id="batch", elem_classes="narrow"):
        hint = gr.HTML(padding=False)
        words.add(
            hint,
            "value",
            lambda texts: (
                f'<p class="hint">{texts.batch_hint.format(most=config.batch_photos, megabytes=megabytes)}</p>'
            ),
        )
        photos = FileInput(file_count="multiple", file_types=_KINDS, height=220, buttons=[], elem_id="batch-photos")
        words.add(photos, "label", lambda texts: texts.batch_photos)
        ages = gr.CheckboxGroup(_AGES, value=[25, 65], elem_id="batch-ages")
        words.add(ages, "label", lambda texts: texts.batch_ages)
        every_face = gr.Radio([("All", True)], value=True, elem_id="batch-faces")
        words.add(every_face, "choices", lambda texts: [(texts.every_face, True), (texts.largest_face, False)])
        words.add(every_face, "label", lambda texts: texts.batch_faces)
        mark = gr.Checkbox(elem_id="batch-mark")
        words.add(mark, "label", lambda texts: texts.mark)
        start = gr.Button(variant="primary", elem_id="make-batch")
        words.add(start, "value", lambda texts: texts.make_batch)
        status = gr.HTML(figures.status(""), padding=False, elem_id="batch-status", elem_classes="status")
        download = gr.DownloadButton(visible=False, elem_id="get-batch")
        words.add(download, "label", lambda texts: texts.download_batch)

    @partial(on_gpu, seconds=lambda paths, ages, *_: min(_MOST_SECONDS, 15 + len(paths or []) * (2 + len(ages))))
    def make_batch(
        paths: list[str] | None,
        ages: list[float],
        every_face: bool,
        mark: bool,
        language: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - gradio looks for it here
    ) -> dict[gr.blocks.Block, Any]:
        texts, paths = texts_of(language), paths or []

        def tell(number: int) -> None:
            stop_if_abandoned()
            sentence = texts.batch_progress.format(number=number, count=len(paths))
            progress((number - 1, len(paths)), desc=sentence, unit="")

        try:
            with as_sentences(texts):
                report = edit_batch(studio, paths, sorted(ages), every_face, Look(), mark, texts, tell)
        except gr.Error as error:
            return {status: figures.status(error.message, trouble=True), download: gr.update(visible=False)}
        sentence = texts.batch_done.format(done=report.done, count=len(paths))
        if report.done:
            sentence += f" {texts.kept_for(config.files_seconds)}"
        if report.failures:
            listed = "".join(f"<li><b>{escape(name)}</b>: {escape(why)}</li>" for name, why in report.failures)
            sentence += f" {texts.batch_failed.format(count=len(report.failures))}<ul>{listed}</ul>"
        if report.done == 0:
            return {status: figures.status(sentence, trouble=True), download: gr.update(visible=False)}
        return {status: figures.status(sentence), download: gr.update(value=report.zip, visible=True)}

    def check(paths: list[str] | None, ages: list[float]) -> None:
        check_batch(studio, paths or [], ages)

    add_run(start, make_batch, check, [photos, ages], [every_face, mark, language], language, status, [download])
