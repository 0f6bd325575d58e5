"""Small pictures as HTML: the faces to choose from, and the row of ages. Nothing is written to disk for them."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO
from urllib.parse import quote

from PIL import Image

from agetransformer.page.english import ENGLISH
from agetransformer.page.texts import Texts

THUMBNAIL_SIDE = 320  # pixels; shown at 180 at most, so sharp on dense screens
QUALITY, PREVIEW_QUALITY = 88, 90  # of thumbnails, and of the before/after view
TOGETHER_SIDE = 480  # pixels; of a part of the photo with several faces
PICKER_SIDE = 160  # pixels; shown at 64
EVERY_FACE = -1  # the data-value of the face picker's button for all faces

# The figures hold buttons with a data-value; a click hands that number to the server.
ON_CLICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-value]');
  if (button) trigger('click', { value: Number(button.dataset.value) });
});
"""


def thumbnail(image: Image.Image, side: int | None = None) -> str:
    """An image as a data URI: JPEG, `side` pixels at most (THUMBNAIL_SIDE)."""
    image = image.convert("RGB")
    image.thumbnail((side or THUMBNAIL_SIDE,) * 2, Image.Resampling.LANCZOS)
    return data_uri(image, QUALITY)


def data_uri(image: Image.Image, quality: int) -> str:
    """An RGB image as a JPEG within an address."""
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=quality, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def nearest(age: float, ages: Sequence[float]) -> float:
    """The one of `ages` that the yellow frame goes to; of two equally near, the younger."""
    return min(ages, key=lambda candidate: (abs(candidate - age), candidate))


def face_picker(thumbnails: Sequence[str], ages: Sequence[float], chosen: Sequence[int], texts: Texts = ENGLISH) -> str:
    """One button for each face, its data-value is the face's index, and one for all of them together."""
    together = len(chosen) == len(thumbnails) > 1
    buttons = []
    for index, (source, age) in enumerate(zip(thumbnails, ages, strict=True)):
        name = escape(texts.face_looks.format(number=index + 1, age=f"{age:.0f}"))
        buttons.append(
            f'<button type="button" data-value="{index}"{_pressed(not together and index in chosen)}'
            f' aria-label="{name}" title="{name}"><img src="{source}" alt=""></button>'
        )
    buttons.append(
        f'<button type="button" data-value="{EVERY_FACE}"{_pressed(together)}>'
        f'<span class="all">{escape(texts.all_faces)}</span></button>'
    )
    return (
        f'<div class="faces" role="group" aria-labelledby="pick-face"><h2 id="pick-face">{escape(texts.pick_face)}</h2>'
        f'<div class="picker">{"".join(buttons)}</div></div>'
    )


def age_row(
    original: str,
    caption: str,
    age: float,
    ages: Sequence[float],
    edited: Mapping[float, str],
    texts: Texts = ENGLISH,
    together: bool = False,
) -> str:
    """The face as it is and its edits, each with its age under it, the one nearest to `age` in a yellow frame.

    Several faces (`together`) have no one age, and no frame.

    Args:
        original: data URI of the aligned face, or of the part of the photo with all faces.
        caption: under it.
        age: detected, in years.
        ages: of the row, in order; those not yet in `edited` (age -> data URI) are drawn as waiting.
    """
    framed = None if together else nearest(age, ages)
    looks = "" if together else f"<br><small>{escape(texts.detected.format(age=f'{age:.0f}'))}</small>"
    figures = [
        f'<figure><img src="{original}" alt="{escape(caption)}">'
        f'<figcaption class="label">{escape(caption)}{looks}</figcaption></figure>'
    ]
    for target in ages:
        mark = "nearest" if target == framed else "other"
        label = f'<span class="label">{escape(f"{target:g}")}</span>'
        if target not in edited:
            figures.append(f'<div class="{mark}" aria-busy="true"><div class="blank"></div>{label}</div>')
            continue
        name = escape((texts.at_nearest_age if target == framed else texts.at_age).format(age=f"{target:g}"))
        figures.append(
            f'<button type="button" class="{mark}" data-value="{target:g}" aria-label="{name}">'
            f'<img src="{edited[target]}" alt="">{label}</button>'
        )
    kind = "row together" if together else "row"
    hint = texts.ages_hint_together if together else texts.ages_hint
    return (
        '<div class="faces" role="group" aria-labelledby="ages-heading">'
        f'<h2 id="ages-heading">{escape(texts.ages_heading)}</h2><p class="hint">{escape(hint)}</p>'
        f'<div class="{kind}">{"".join(figures)}</div></div>'
    )


def status(sentence: str, trouble: bool = False) -> str:
    """The status line, read aloud by screen readers when it changes."""
    kind = ' class="trouble"' if trouble else ""
    return f'<div role="status" aria-live="polite"{kind}>{sentence}</div>'


def film(path: str, name: str, muted: bool = True) -> str:
    """A film that the server hands out: it plays endlessly by itself, or, not muted, when it is started."""
    source = f"gradio_api/file={quote(path)}"
    if not path.endswith(".mp4"):
        return f'<img src="{source}" alt="{escape(name)}">'
    playing = 'autoplay loop muted onloadeddata="this.muted = true; this.play()"' if muted else ""
    return f'<video src="{source}" aria-label="{escape(name)}" {playing} playsinline controls></video>'


def _pressed(pressed: bool) -> str:
    return ' class="chosen" aria-pressed="true"' if pressed else ' aria-pressed="false"'
