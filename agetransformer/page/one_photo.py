"""The main way through the page: one photo, its faces, every age."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from agetransformer.editor import STRONGEST
from agetransformer.page import figures
from agetransformer.page.abandoned import while_awaited
from agetransformer.page.area import add_area
from agetransformer.page.components import BoundedSlider, PhotoInput, PreviewSlider
from agetransformer.page.english import ENGLISH
from agetransformer.page.errors import as_sentences
from agetransformer.page.gpu import on_gpu
from agetransformer.page.languages import Wording, texts_of
from agetransformer.page.studio import Look, Studio, Visit, Workspace
from agetransformer.page.texts import Texts

EDITS = "edits"  # one queue for all that computes
START_DOWNLOAD = """(file) => {
  const link = document.createElement('a');
  link.href = file.url;
  link.download = file.orig_name;
  link.click();
}"""
# A step before one that waits in the queue and may borrow a GPU: it ends the chain where there is nothing to do.
ONLY_WITH_A_PHOTO = "(photo) => { if (!photo) throw new Error('no photo'); }"
ONLY_WITH_A_RESULT = """() => {
  if (!document.querySelector('#result, #photo .image-frame img')) throw new Error('no photo');
}"""
PHOTO_THAT_WAITS = "(visit, photo, ...rest) => [visit, document.querySelector('#result') ? null : photo, ...rest]"
_SHORT = 15  # seconds of a lent GPU for a few pictures of preview size
_FORMATS = [("MP4", ".mp4"), ("GIF", ".gif"), ("WebP", ".webp")]

Update = dict[gr.blocks.Block, Any]


def add_one_photo(
    studio: Studio, words: Wording, language: gr.Radio, examples: list[Path]
) -> Callable[[gr.events.Dependency], None]:
    """Build the tab and its events in the gr.Blocks that is being built.

    Returns:
        What makes the server write its sentences again, in the language, after an event.
    """
    config = studio.config
    state = gr.State(time_to_live=config.state_seconds, delete_callback=studio.close)
    made = gr.State(time_to_live=config.state_seconds)  # the last film's path, and what it is a film of
    with gr.Column(elem_id="start") as start:
        photo = PhotoInput(
            sources=["upload", "webcam", "clipboard"], height=300, show_label=False, buttons=[], elem_id="photo"
        )
    status = gr.HTML(figures.status(ENGLISH.waiting), padding=False, elem_id="status")
    with gr.Column(elem_id="samples") as samples:
        samples_label = gr.HTML(padding=False)
        words.add(samples_label, "value", lambda texts: f"<p>{texts.no_photo}</p>")
        gr.Examples([str(path) for path in examples], photo, api_visibility="private", label="", elem_id="examples")
    # After the examples, which set again, whenever one is chosen, what the input had when they were made.
    words.add(photo, "label", lambda texts: texts.photo)
    words.add(photo, "placeholder", lambda texts: texts.drop_here)
    with gr.Row(equal_height=False, visible=False, elem_id="result") as result:
        with gr.Column(min_width=320, elem_id="stage"):
            compare = PreviewSlider(show_label=False, max_height=440, buttons=["fullscreen"], elem_id="compare")
            words.add(compare, "label", lambda texts: texts.compare)
        with gr.Column(min_width=280, elem_id="controls"):
            slider = BoundedSlider(config.youngest, config.oldest, step=1, buttons=[], elem_id="age")
            words.add(slider, "label", lambda texts: texts.age)
            faces = gr.HTML(visible=False, padding=False, js_on_load=figures.ON_CLICK, elem_id="faces")
            get_photo = gr.Button(variant="primary", elem_id="get-photo")
            words.add(get_photo, "value", lambda texts: texts.download_photo)
            new_photo = gr.Button(size="md", elem_id="new-photo")
            words.add(new_photo, "value", lambda texts: texts.new_photo)
            with gr.Accordion(open=False, elem_id="film-panel") as film_panel:
                words.add(film_panel, "label", lambda texts: texts.film)
                film_hint = gr.HTML(padding=False)
                words.add(
                    film_hint,
                    "value",
                    lambda texts: f'<p class="hint">{texts.film_hint} {texts.kept_for(config.files_seconds)}</p>',
                )
                film_format = gr.Radio(_FORMATS, value=".mp4", elem_id="film-format")
                words.add(film_format, "label", lambda texts: texts.film_format)
                make_film = gr.Button(elem_id="make-film")
                words.add(make_film, "value", lambda texts: texts.make_film)
                film = gr.HTML(visible=False, elem_id="film")
                get_film = gr.DownloadButton(visible=False, elem_id="get-film")
                words.add(get_film, "label", lambda texts: texts.download_film)
            with gr.Accordion(open=False, elem_id="fine-tuning") as fine_tuning:
                words.add(fine_tuning, "label", lambda texts: texts.fine_tuning)
                strength = BoundedSlider(0, round(100 * STRONGEST), 100, step=5, buttons=["reset"], elem_id="strength")
                words.add(strength, "label", lambda texts: texts.strength)
                words.add(strength, "info", lambda texts: texts.strength_hint)
                hair = add_area(words, "area")
                mark = gr.Checkbox(elem_id="mark")
                words.add(mark, "label", lambda texts: texts.mark)
            file = gr.DownloadButton(visible="hidden", elem_id="file")
        with gr.Column(min_width=320, elem_id="strip"):
            ages = gr.HTML(js_on_load=figures.ON_CLICK, padding=False, elem_id="ages")
            get_grid = gr.Button(size="md", elem_id="get-grid")
            words.add(get_grid, "value", lambda texts: texts.download_grid)

    def begin(sentence: str, trouble: bool = False) -> Update:
        """The page as it is at first, with another sentence."""
        hidden = gr.update(visible=False)
        return {
            state: None,
            photo: None,
            start: gr.update(visible=True),
            samples: gr.update(visible=True),
            status: figures.status(sentence, trouble),
            result: hidden,
        }

    def row(workspace: Workspace, edited: dict[float, str], texts: Texts) -> str:
        together = len(workspace.chosen) > 1
        original = figures.thumbnail(studio.close_up(workspace), figures.TOGETHER_SIDE if together else None)
        caption = texts.your_photo if together else texts.your_face
        age = workspace.encodings[0].face.age
        return figures.age_row(original, caption, age, config.grid_ages, edited, texts, together)

    def describe(workspace: Workspace, texts: Texts) -> Update:
        """The sentence about the face and the faces to choose from."""
        chosen = [workspace.faces[index].age for index in workspace.chosen]
        if len(chosen) > 1:
            youngest, oldest = f"{min(chosen):.0f}", f"{max(chosen):.0f}"
            sentence = texts.all_look.format(count=len(chosen), youngest=youngest, oldest=oldest)
        else:
            sentence = texts.looks.format(age=f"{chosen[0]:.0f}")
        if workspace.found > len(workspace.faces):  # 32 at most: the finder looks for no more
            sentence += " " + texts.largest_only.format(found=workspace.found, count=len(workspace.faces))
        thumbnails = [figures.thumbnail(face.image, figures.PICKER_SIDE) for face in workspace.faces]
        picker = figures.face_picker(thumbnails, [face.age for face in workspace.faces], workspace.chosen, texts)
        return {status: figures.status(sentence), faces: gr.update(value=picker, visible=len(thumbnails) > 1)}

    def show_row(
        visit: Visit, workspace: Workspace, look: Look, texts: Texts, target: float | None = None
    ) -> Iterator[Update]:
        """Each age as it is ready; the one that is the target goes into the photo too.

        `workspace` is the visit's, which may be closed, and dropped, at any moment.
        """
        several = len(workspace.chosen) > 1
        edited: dict[float, str] = {}
        for age in config.grid_ages:
            if studio.is_closed(visit):  # another photo was asked for meanwhile
                return
            whole_picture, close_up = studio.figure_at(workspace, age, look)
            edited[age] = figures.thumbnail(close_up, figures.TOGETHER_SIDE if several else None)
            update: Update = {ages: row(workspace, edited, texts)}
            if age == target:
                update[compare] = (workspace.preview_uri, whole_picture)
            yield update

    def show(visit: Visit, look: Look, texts: Texts) -> Iterator[Update]:
        """The chosen face at once, then each age; the furthest one goes into the photo."""
        workspace = studio.workspace(visit)
        target = max(config.grid_ages, key=lambda age: abs(age - workspace.encodings[0].face.age))
        before = (workspace.preview_uri, workspace.preview_uri)
        yield {
            state: visit,
            start: gr.update(visible=False),
            samples: gr.update(visible=False),
            result: gr.update(visible=True),
            ages: row(workspace, {}, texts),
            compare: gr.update(value=before, slider_position=100 * studio.face_x(workspace)),
            slider: target,
            film: gr.update(visible=False),
            get_film: gr.update(visible=False),
            **describe(workspace, texts),
        }
        yield from show_row(visit, workspace, look, texts, target)

    def announce(language: str) -> tuple:
        return figures.status(texts_of(language).queued), gr.update(visible=False)

    @on_gpu
    def open_photo(
        path: str | None, visit: Visit | None, percent: float, hair: bool, language: str
    ) -> Iterator[Update]:
        texts = texts_of(language)
        if path is None:  # taken away while it waited for its turn
            yield {state: gr.skip()}
            return
        studio.close(visit)
        yield {status: figures.status(texts.looking), samples: gr.update(visible=False)}
        new = None
        try:
            with as_sentences(texts):
                new = studio.open(path)
                yield from show(new, Look(percent / 100, hair), texts)
        except gr.Error as error:
            studio.close(new)
            yield begin(error.message, trouble=True)

    @on_gpu
    def show_faces(visit: Visit, face: int | None, look: Look, texts: Texts) -> Iterator[Update]:
        with as_sentences(texts):
            yield from show(studio.choose(visit, face), look, texts)

    def choose_faces(visit: Visit, percent: float, hair: bool, language: str, event: gr.EventData) -> Iterator[Update]:
        face = None if event.value == figures.EVERY_FACE else event.value
        shown = False
        for update in show_faces(visit, face, Look(percent / 100, hair), texts_of(language)):
            if not shown and studio.is_closed(visit):  # what happens here is not known where a GPU is lent
                return
            if not shown:
                studio.close(visit)
            shown = True
            yield update

    def choose_age(event: gr.EventData) -> float:
        return event.value

    def start_again(visit: Visit | None, language: str) -> Update:
        studio.close(visit)
        return begin(texts_of(language).waiting) | {state: gr.skip()}  # by which what still waits knows that it ended

    def too_busy(language: str) -> Update:
        return begin(texts_of(language).busy, trouble=True)

    @partial(on_gpu, seconds=_SHORT)
    def show_age(visit: Visit, age: float, percent: float, hair: bool, language: str) -> tuple:
        with as_sentences(texts_of(language)):
            workspace = studio.workspace(visit)
            return workspace.preview_uri, studio.figure_at(workspace, age, Look(percent / 100, hair))[0]

    @partial(on_gpu, seconds=_SHORT)
    def refresh_row(visit: Visit, percent: float, hair: bool, language: str) -> Iterator[Update]:
        with as_sentences(texts_of(language)):
            yield from show_row(visit, studio.workspace(visit), Look(percent / 100, hair), texts_of(language))

    def greet_again(visit: Visit | None, path: str | None, language: str) -> Any:
        texts = texts_of(language)
        ended = visit is None or studio.is_closed(visit)
        return figures.status(texts.queued if path else texts.waiting) if ended else gr.skip()

    @partial(on_gpu, seconds=_SHORT)
    def say_again(visit: Visit | None, percent: float, hair: bool, language: str) -> Iterator[Update]:
        """What the server wrote about the photo, in the new language."""
        if visit is None:  # the photo that was waited for had no face
            yield {ages: gr.skip()}
            return
        texts = texts_of(language)
        with as_sentences(texts):
            workspace = studio.workspace(visit)
            yield describe(workspace, texts)
            yield from show_row(visit, workspace, Look(percent / 100, hair), texts)

    @on_gpu
    def save_photo(visit: Visit, age: float, percent: float, hair: bool, mark: bool, language: str) -> str:
        with as_sentences(texts_of(language)):
            (path,) = studio.save_photos(visit, [age], Look(percent / 100, hair), mark)
            return path

    @on_gpu
    def save_grid(visit: Visit, percent: float, hair: bool, mark: bool, language: str) -> str:
        with as_sentences(texts_of(language)):
            return studio.save(studio.grid(visit, Look(percent / 100, hair)), "ages", config.grid_ages, mark)

    @on_gpu
    def save_film(
        visit: Visit,
        suffix: str,
        percent: float,
        hair: bool,
        mark: bool,
        language: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008 - gradio looks for it here
    ) -> tuple:
        """The film's path, and what it is a film of."""
        texts = texts_of(language)
        with as_sentences(texts):
            sweep = studio.sweep(Look(percent / 100, hair))
            frames = while_awaited(studio.film(visit, sweep))
            shown = progress.tqdm(frames, desc=texts.making_film, total=2 * sweep.frames - 2, unit="")
            return studio.save_film(iter(shown), suffix, sweep, mark), visit, percent, hair, mark

    def show_film(made: tuple | None, visit: Visit, percent: float, hair: bool, mark: bool, language: str) -> tuple:
        """What was made, unless another photo is shown, or it is shown otherwise, since."""
        if made is None or made[1:] != (visit, percent, hair, mark):
            return hide_film()
        value = figures.film(made[0], texts_of(language).film_alt)
        return gr.update(value=value, visible=True), gr.update(value=made[0], visible=True)

    def hide_film() -> tuple:
        return gr.update(visible=False), gr.update(visible=False)

    def close_button() -> Any:
        return gr.update(interactive=False)

    def open_button() -> Any:
        return gr.update(interactive=True)

    look = [strength, hair, language]
    silent: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
    at_once: dict[str, Any] = silent | {"queue": False}
    quiet: dict[str, Any] = silent | {"concurrency_id": EDITS}
    page = [state, photo, start, samples, status, faces, result, ages, compare, slider, film, get_film, film_format]

    latest: dict[str, Any] = quiet | {"trigger_mode": "always_last"}  # what is asked for meanwhile is done after

    given = photo.change(None, photo, None, js=ONLY_WITH_A_PHOTO, **silent)
    announced = given.success(announce, language, [status, samples], trigger_mode="multiple", **at_once)
    announced.failure(too_busy, language, page, **at_once)
    opened = announced.success(open_photo, [photo, state, *look], page, **latest)
    opened.failure(too_busy, language, page, **at_once)  # `open_photo` itself tells its troubles
    picked = faces.click(choose_faces, [state, *look], page, trigger_mode="multiple", **quiet)
    # An age that was asked for before, and comes after, was of where the slider is no more.
    picked.success(show_age, [state, slider, *look], compare, **latest)
    new_photo.click(start_again, [state, language], page, **at_once)
    slider.input(show_age, [state, slider, *look], compare, **latest)
    chosen = ages.click(choose_age, None, slider, trigger_mode="multiple", **at_once)
    chosen.then(show_age, [state, slider, *look], compare, **latest)
    strength.change(show_age, [state, slider, *look], compare, **latest)
    strength.release(refresh_row, [state, *look], ages, **latest)
    hair.input(show_age, [state, slider, *look], compare, **latest).then(refresh_row, [state, *look], ages, **latest)
    for changed in (strength.change, hair.input, mark.input):  # a film from before would pass for one of now
        changed(hide_film, None, [film, get_film], **at_once)
    for button, function, inputs in (
        (get_photo, save_photo, [state, slider, strength, hair, mark, language]),
        (get_grid, save_grid, [state, strength, hair, mark, language]),
    ):
        pressed = button.click(close_button, None, button, **at_once)
        saved = pressed.then(function, inputs, file, **quiet)
        saved.success(None, file, js=START_DOWNLOAD, api_visibility="private")
        for ended in (saved.success, saved.failure):
            ended(open_button, None, button, **at_once)
    filmed = make_film.click(
        save_film,
        [state, film_format, strength, hair, mark, language],
        made,
        show_progress_on=film_format,
        api_visibility="private",
        concurrency_id=EDITS,
    )
    filmed.success(show_film, [made, state, strength, hair, mark, language], [film, get_film], **at_once)

    def say_after(event: gr.events.Dependency) -> None:
        greeted = event.then(greet_again, [state, photo, language], status, js=PHOTO_THAT_WAITS, **at_once)
        shown = greeted.then(None, None, None, js=ONLY_WITH_A_RESULT, **silent)
        shown.success(say_again, [state, *look], [status, faces, ages], **latest)

    return say_after
