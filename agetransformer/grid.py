"""The ageing grid: one row of pictures with the age under each, as in figure 1 of the paper."""

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_CELL = (128, 512)  # px: least and greatest side of a picture in the grid
_GAP = 0.04  # of a picture's side, between pictures and around them
_FRAME = 0.028  # of a picture's side: width of the yellow frame
_TEXT = 0.105  # of a picture's side: height of the letters
_WHITE, _INK, _GREY, _YELLOW = "#ffffff", "#1a1a1a", "#6b6b6b", "#ffd400"


def cell_side(width: int) -> int:
    """The side of a grid's pictures where the largest has this one, in pixels."""
    return min(max(width, _CELL[0]), _CELL[1])


def age_grid(
    original: Image.Image,
    age: float,
    images: Sequence[Image.Image],
    ages: Sequence[float],
    side: int | None = None,
) -> Image.Image:
    """The input and every edit side by side, each with its age under it.

    The edit whose target is nearest to the person's age carries a yellow frame.

    Args:
        original: the aligned square of the input.
        age: the detected age in years.
        images: the edits, squares like `original`.
        ages: their target ages in years.
        side: of each picture in the grid, in pixels; None is its own within 128..512. For grids that are stacked.
    Returns:
        RGB.
    Raises:
        ValueError: nothing to show, or as many ages as images are not given.
    """
    if not images or len(images) != len(ages):
        raise ValueError(f"a grid needs one age for each picture; got {len(images)} pictures and {len(ages)} ages")
    side = side or cell_side(original.width)
    gap, text = round(side * _GAP), round(side * _TEXT)
    font = ImageFont.load_default(text)
    bottom = round(text * 1.9)  # room for one line of text
    grid = Image.new("RGB", ((side + gap) * (len(images) + 1) + 2 * gap, gap + side + bottom), _WHITE)
    draw = ImageDraw.Draw(grid)
    nearest = min(range(len(ages)), key=lambda index: abs(ages[index] - age))
    for index, picture in enumerate([original, *images]):
        # The input stands apart from the edits by one more gap.
        left = gap + index * (side + gap) + (gap if index else 0)
        grid.paste(picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS), (left, gap))
        label, ink = (f"input, {age:.0f}", _GREY) if index == 0 else (f"{ages[index - 1]:g}", _INK)
        draw.text((left + side / 2, gap + side + bottom * 0.46), label, ink, font, anchor="mm")
        if index == nearest + 1:
            width = max(round(side * _FRAME), 3)
            draw.rectangle((left, gap, left + side - 1, gap + side - 1), outline=_YELLOW, width=width)
    return grid


def stack_grids(grids: Sequence[Image.Image]) -> Image.Image:
    """Grids of several faces under each other, on white."""
    sheet = Image.new("RGB", (max(grid.width for grid in grids), sum(grid.height for grid in grids)), _WHITE)
    top = 0
    for grid in grids:
        sheet.paste(grid, (0, top))
        top += grid.height
    return sheet
