"""Small pictures as HTML: the faces to choose from, and the row of ages. Nothing is written to disk for them."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from io import BytesIO

from PIL import Image

from agetransformer.page import texts

THUMBNAIL_SIDE = 320  # pixels; shown at 180 at most, so sharp on dense screens
QUALITY = 88

# The figures hold buttons with a data-value; a click hands that number to the server.
ON_CLICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('button[data-value]');
  if (button) trigger('click', { value: Number(button.dataset.value) });
});
"""


def thumbnail(image: Image.Image, side: int = THUMBNAIL_SIDE) -> str:
    """An image as a data URI: JPEG, `side` pixels at most."""
    image = image.convert("RGB")
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def nearest(age: float, ages: Sequence[float]) -> float:
    """The one of `ages` that the yellow frame goes to; of two equally near, the younger."""
    return min(ages, key=lambda candidate: (abs(candidate - age), candidate))


def face_picker(thumbnails: Sequence[str], ages: Sequence[float], chosen: int) -> str:
    """One button for each face; its data-value is the index of the face."""
    buttons = []
    for index, (source, age) in enumerate(zip(thumbnails, ages, strict=True)):
        state = ' class="chosen" aria-pressed="true"' if index == chosen else ' aria-pressed="false"'
        buttons.append(
            f'<button type="button" data-value="{index}"{state} aria-label="Face {index + 1}, looks {age:.0f}">'
            f'<img src="{source}" alt=""></button>'
        )
    return f'<div class="faces"><h2>{texts.PICK_FACE}</h2><div class="picker">{"".join(buttons)}</div></div>'


def age_row(original: str, age: float, ages: Sequence[float], edited: Mapping[float, str]) -> str:
    """The aligned face and its edits, each with its age under it, the one nearest to `age` in a yellow frame.

    Args:
        original: data URI of the aligned face.
        age: detected, in years.
        ages: of the row, in order; those not yet in `edited` (age -> data URI) are drawn as waiting.
    """
    framed = nearest(age, ages)
    figures = [
        f'<figure><img src="{original}" alt="{texts.YOUR_FACE}">'
        f'<figcaption class="label">{texts.YOUR_FACE}<br><small>{texts.DETECTED.format(age=f"{age:.0f}")}</small>'
        "</figcaption></figure>"
    ]
    for target in ages:
        mark = "nearest" if target == framed else "other"
        label = f'<span class="label">{escape(f"{target:g}")}</span>'
        if target not in edited:
            figures.append(f'<div class="{mark}" aria-busy="true"><div class="blank"></div>{label}</div>')
            continue
        figures.append(
            f'<button type="button" class="{mark}" data-value="{target:g}">'
            f'<img src="{edited[target]}" alt="The face at age {target:g}">{label}</button>'
        )
    return (
        f'<div class="faces"><h2>{texts.AGES_HEADING}</h2><p class="hint">{texts.AGES_HINT}</p>'
        f'<div class="row">{"".join(figures)}</div></div>'
    )


def status(sentence: str, trouble: bool = False) -> str:
    """The status line, read aloud by screen readers when it changes."""
    kind = ' class="trouble"' if trouble else ""
    return f'<div role="status" aria-live="polite"{kind}>{sentence}</div>'
