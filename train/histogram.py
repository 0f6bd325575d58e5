"""The ages of a data set as a picture."""

from collections.abc import Mapping
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIZE = (1000, 420)
_LEFT, _TOP, _RIGHT, _BOTTOM = 70, 50, 985, 370  # of the axes
_FOUND, _REAL, _SYNTHETIC = "#c8c8c8", "#3060a8", "#e09030"


def age_histogram(found: Mapping[int, int], real: Mapping[int, int], synthetic: Mapping[int, int]) -> Image.Image:
    """Bars a year of age: how many faces the photos have (grey), and how many were taken (blue) or made (orange)."""
    picture = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(14)
    highest = max(1, *(max(found[year], real[year] + synthetic[year]) for year in found))
    step = _round_step(highest)

    def y(count: float) -> float:
        return _BOTTOM - count / highest * (_BOTTOM - _TOP)

    for count in range(0, highest + 1, step):
        draw.line((_LEFT, y(count), _RIGHT, y(count)), "#e8e8e8")
        draw.text((_LEFT - 8, y(count)), str(count), "black", font, anchor="rm")
    width = (_RIGHT - _LEFT) / len(found)
    for index, year in enumerate(found):
        left = _LEFT + index * width
        bars = [(left + 1, 0, found[year], _FOUND), (left + 4, 0, real[year], _REAL)]
        bars.append((left + 4, real[year], synthetic[year], _SYNTHETIC))
        for start, base, count, colour in bars:
            if count:
                draw.rectangle((start, y(base + count), left + width - (start - left), y(base)), colour)
        if year % 5 == 0:
            draw.text((left + width / 2, _BOTTOM + 6), str(year), "black", font, anchor="mt")
    draw.line((_LEFT, _BOTTOM, _RIGHT, _BOTTOM), "black")
    draw.text(((_LEFT + _RIGHT) / 2, _BOTTOM + 28), "age by V, years", "black", font, anchor="mt")
    x = _LEFT
    legend = (("in the photos", _FOUND, found), ("taken", _REAL, real), ("synthetic", _SYNTHETIC, synthetic))
    for name, colour, counts in legend:
        draw.rectangle((x, 18, x + 14, 32), colour)
        text = f"{name}: {sum(counts.values())}"
        draw.text((x + 20, 25), text, "black", font, anchor="lm")
        x += 50 + round(draw.textlength(text, font))
    return picture


def save_histogram(path: Path, found: Mapping[int, int], real: Mapping[int, int], synthetic: Mapping[int, int]) -> None:
    """Write `age_histogram` as a PNG."""
    age_histogram(found, real, synthetic).save(path, "PNG")


def _round_step(highest: int) -> int:
    """A round distance between the grid lines, which are nine at most."""
    steps = (digit * 10**power for power in range(12) for digit in (1, 2, 5))
    return next(step for step in steps if highest <= 8 * step)
