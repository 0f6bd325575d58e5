"""The picture of how it works in the README: every map, weight and face in it is the embedded checkpoint's own.

python -m benchmarks.architecture --photo assets/astronaut.jpg --out assets/how_it_works.png
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from PIL import Image

from agetransformer import editor as editor_module
from agetransformer.editor import AgeEditor
from agetransformer.networks import Generator

AGES = (25.0, 65.0)
GAIN = 4  # how much the drawn change is amplified
WIDTH, HEIGHT = 18.0, 10.6  # of the drawing, in its own units, an inch each at 100 dpi
INK, MUTED, LINE = "#1f2430", "#5b6472", "#8a93a3"
ENCODER, MODULATION, DECODER, LOSS = "#dce9f7", "#fdeacc", "#e2f1df", "#f7dfe2"


def draw(editor: AgeEditor, photo: Path, out: Path) -> None:
    """Draw the network with the largest face of a photo.

    Raises:
        ValueError: there is no face in the photo.
    """
    faces = editor.find_faces(photo)
    if not faces:
        raise ValueError(f"{photo}: no face was found; take another photo")
    encoding = editor.encode(faces[0], hair=False)  # the network alone
    own_age = min(max(faces[0].age, editor_module.AGES[0]), editor_module.AGES[1])
    same, old = (edited.masked for edited in editor.decode(encoding, [own_age, AGES[1]]))
    generator = editor.generator
    with torch.inference_mode():
        maps = generator.encode(encoding.reduced)
        change = (generator.decode(maps, torch.tensor(AGES[1:])) - encoding.reduced)[0].permute(1, 2, 0).numpy()
        weights = [generator.modulation(torch.tensor([age]))[0].numpy() for age in AGES]
        codes = generator.modulation.code(torch.tensor([round(age) for age in AGES])).numpy()

    figure = plt.figure(figsize=(WIDTH, HEIGHT), dpi=100, facecolor="white")
    page = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, HEIGHT))
    page.axis("off")
    plt.rcParams["font.family"] = "DejaVu Sans"
    _draw_edit(page, generator, faces[0].image, old, maps.features[0].numpy(), weights, codes, change)
    _draw_training(page, faces[0].image, same, old)
    figure.savefig(out, pil_kwargs={"optimize": True})
    plt.close(figure)


def _draw_edit(
    page: Axes,
    generator: Generator,
    face: Image.Image,
    old: Image.Image,
    features: np.ndarray,
    weights: Sequence[np.ndarray],
    codes: np.ndarray,
    change: np.ndarray,
) -> None:
    """Upper half. Features [C, h, w], weights 2 x [C], codes [2, 101], change [R, R, 3] in [-1, 1] units."""
    top = 7.6  # the middle of the row
    _title(page, 0.4, 10.15, "An edit", "encode once, decode any number of ages")
    _picture(page, face, 0.4, top - 0.85, 1.7, "your face $x_0$", f"{generator.config.resolution} px inside")
    encoder = [_name(generator.encoder.conv0.conv), _name(generator.encoder.conv1.conv)]
    encoder += [_name(generator.encoder.conv2.conv), f"{len(generator.encoder.blocks)} residual\nblocks, 3x3"]
    decoder = [f"x2, {_name(generator.decoder.conv1.conv)}", f"x2, {_name(generator.decoder.conv2.conv)}"]
    decoder += [_name(generator.decoder.conv3)]
    heights = (2.2, 1.6, 1.05, 1.05)
    for index, (text, height) in enumerate(zip(encoder, heights, strict=True)):
        _block(page, 2.75 + 1.12 * index, top, 0.9, height, text, ENCODER)
    _arrow(page, (2.12, top), (2.73, top))
    for index in range(3):
        _arrow(page, (3.66 + 1.12 * index, top), (3.86 + 1.12 * index, top))
    page.text(3.2, top + 1.25, "encoder", ha="center", color=MUTED, fontsize=11)

    count = len(features)
    order = np.argsort(-features.std(axis=(1, 2)))[:9]
    for index, channel in enumerate(order):
        row, column = divmod(index, 3)
        box = (7.32 + 0.42 * column, top + 0.24 - 0.42 * row, 0.4, 0.4)
        low_end, high_end = np.percentile(features[channel], (1, 99))
        page.imshow(
            features[channel], extent=_extent(box), cmap="gray", vmin=low_end, vmax=high_end, aspect="auto", zorder=3
        )
    page.text(7.94, top + 0.78, f"C: {count} feature maps", ha="center", color=INK, fontsize=10)
    page.text(7.94, top - 0.78, "9 of them", ha="center", color=MUTED, fontsize=8.5)
    _arrow(page, (7.03, top), (7.3, top))
    _arrow(page, (8.6, top), (9.0, top))
    page.add_patch(plt.Circle((9.2, top), 0.19, facecolor=MODULATION, edgecolor=INK, zorder=3))
    page.text(9.2, top - 0.015, "x", ha="center", va="center", fontsize=13, color=INK, zorder=4)
    page.text(9.2, top + 0.32, "C diag(w)", ha="center", color=INK, fontsize=10)
    _arrow(page, (9.4, top), (9.93, top))

    for index, (text, height) in enumerate(zip(decoder, (1.6, 2.2, 2.2), strict=True)):
        _block(page, 9.95 + 1.12 * index, top, 0.9, height, text, DECODER)
    for index in range(2):
        _arrow(page, (10.86 + 1.12 * index, top), (11.06 + 1.12 * index, top))
    page.text(12.64, top + 1.25, "decoder", ha="center", color=MUTED, fontsize=11)
    _skip(page, (5.44, top + 0.53), (10.4, top + 0.8), 9.27, "skip 2, concatenated")
    _skip(page, (4.32, top + 0.8), (11.52, top + 1.1), 9.65, "skip 1, concatenated")

    _arrow(page, (13.1, top), (13.4, top))
    shown = np.clip(0.5 + GAIN * change / 2, 0, 1)
    page.imshow(shown, extent=_extent((13.42, top - 0.8, 1.6, 1.6)), aspect="auto", zorder=3)
    page.text(14.22, top + 0.95, "the change δ", ha="center", color=INK, fontsize=11)
    page.text(14.22, top - 1.03, f"drawn {GAIN} times stronger", ha="center", color=MUTED, fontsize=8.5)
    _arrow(page, (15.04, top), (15.88, top))
    page.text(
        15.45, top + 0.3, "enlarged,\nmasked,\nadded to $x_0$", ha="center", va="bottom", color=MUTED, fontsize=8.5
    )
    _picture(page, old, 15.9, top - 0.85, 1.7, f"at {AGES[1]:.0f}", "its own pixels + δ")

    low = 5.35
    _block(page, 2.75, low, 1.35, 0.85, f"target age\n$a_1$ = {AGES[1]:.0f}", MODULATION)
    for line, code in enumerate(codes):
        axes = (4.55, low + 0.05 - 0.45 * line, 1.7, 0.36)
        page.plot(
            axes[0] + axes[2] * np.arange(len(code)) / (len(code) - 1), axes[1] + axes[3] * code / code.max(),
            color=INK if line else LINE, linewidth=1.2, zorder=3,
        )  # fmt: skip
        page.text(axes[0] + axes[2] + 0.06, axes[1] + 0.08, f"{AGES[line]:.0f}", color=MUTED, fontsize=8.5)
    page.text(5.4, low + 0.62, "code over ages 0..100", ha="center", color=INK, fontsize=10)
    _arrow(page, (4.12, low), (4.5, low))
    _block(page, 6.75, low, 1.2, 0.85, f"linear {codes.shape[1]}→{count},\nsigmoid", MODULATION)
    _arrow(page, (6.5, low), (6.73, low))
    for line, values in enumerate(weights):
        box = (8.35, low + 0.05 - 0.45 * line, 4.3, 0.34)
        page.imshow(values[None], extent=_extent(box), cmap="viridis", vmin=0, vmax=1, aspect="auto", zorder=3)
        page.text(12.72, box[1] + 0.09, f"w at {AGES[line]:.0f}", color=INK, fontsize=9.5)
    page.text(13.6, low - 0.17, "0", color=MUTED, fontsize=8.5, ha="right")
    scale = np.linspace(0, 1, 64)[None]
    page.imshow(scale, extent=_extent((13.68, low - 0.2, 1.2, 0.2)), cmap="viridis", aspect="auto", zorder=3)
    page.text(14.95, low - 0.17, "1", color=MUTED, fontsize=8.5)
    _arrow(page, (7.97, low), (8.33, low))
    _arrow(page, (9.2, low + 0.42), (9.2, top - 0.21))


def _draw_training(page: Axes, face: Image.Image, same: Image.Image, old: Image.Image) -> None:
    """Lower half: what each result is compared with."""
    page.plot([0.4, WIDTH - 0.4], [4.35, 4.35], color="#d5dae2", linewidth=1)
    _title(page, 0.4, 3.85, "Training", "no photo of anybody at two ages is needed: three critics tell G what to do")
    low = 1.75
    _picture(page, face, 0.4, low - 0.75, 1.5, "a face $x_0$, age $a_0$", "")
    _block(page, 2.5, low, 0.9, 1.3, "G", "#eceff4", 16)
    _arrow(page, (1.92, low), (2.48, low))
    _picture(page, old, 4.15, low + 0.12, 1.2, "$G(x_0, a_1)$, a random $a_1$", "")
    _picture(page, same, 4.15, low - 1.5, 1.2, "$G(x_0, a_0)$, its own age", "")
    _arrow(page, (3.42, low + 0.3), (4.13, low + 0.7))
    _arrow(page, (3.42, low - 0.3), (4.13, low - 0.9))
    rows = (
        (
            low + 1.0,
            "V, the age classifier (frozen)",
            r"does it look $a_1$?",
            r"$L_{class}$ = CE($a_1$, V($G(x_0, a_1)$))",
        ),
        (
            low,
            "D, the discriminator (trained beside G)",
            "is each patch a photo?",
            r"$L_{GAN}$ = (D($G(x_0, a_1)$) - 1)²",
        ),
        (low - 1.0, "the face itself", "nothing to change at its own age", r"$L_{recon}$ = |$G(x_0, a_0)$ - $x_0$|"),
    )
    for y, name, question, formula in rows:
        _block(page, 6.6, y, 3.3, 0.78, f"{name}\n{question}", LOSS)
        page.text(10.1, y, formula, va="center", color=INK, fontsize=11.5)
        start = (5.37, low + 0.7) if y >= low else (5.37, low - 0.9)
        _arrow(page, start, (6.58, y))
    page.text(13.75, low + 1.0, "and, ours:", va="center", color=INK, fontsize=11.5, weight="bold")
    ours = (
        "a second V, trained against adversarial noise",
        "D reads frozen ImageNet features, and knows a₁",
        "the gender that V reads must stay",
        "the smallest change: |δ|, dearer outside the face",
        "no ripples (total variation) and no colour fringes",
    )
    for index, text in enumerate(ours):
        page.text(13.75, low + 0.55 - 0.42 * index, f"·  {text}", va="center", color=INK, fontsize=10)


def _name(conv: torch.nn.Conv2d) -> str:
    stride = f", /{conv.stride[0]}" if conv.stride[0] > 1 else ""
    return f"{conv.kernel_size[0]}x{conv.kernel_size[1]}{stride}\n{conv.in_channels}→{conv.out_channels}"


def _extent(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    left, bottom, width, height = box
    return left, left + width, bottom, bottom + height


def _picture(page: Axes, image: Image.Image, left: float, bottom: float, side: float, above: str, below: str) -> None:
    small = image.resize((round(side * 100),) * 2, Image.Resampling.LANCZOS)
    page.imshow(np.asarray(small), extent=_extent((left, bottom, side, side)), aspect="auto", zorder=3)
    page.text(left + side / 2, bottom + side + 0.12, above, ha="center", color=INK, fontsize=11)
    page.text(left + side / 2, bottom - 0.22, below, ha="center", color=MUTED, fontsize=8.5)


def _block(
    page: Axes, left: float, middle: float, width: float, height: float, text: str, fill: str, size: float = 9
) -> None:
    box = FancyBboxPatch(
        (left, middle - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.08", facecolor=fill,
        edgecolor=LINE, linewidth=1, zorder=2,
    )  # fmt: skip
    page.add_patch(box)
    page.text(left + width / 2, middle, text, ha="center", va="center", color=INK, fontsize=size, zorder=4)


def _arrow(page: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=11, color=INK, linewidth=1.1, zorder=5))


def _skip(page: Axes, start: tuple[float, float], end: tuple[float, float], height: float, text: str) -> None:
    page.plot([start[0], start[0], end[0]], [start[1], height, height], color=LINE, linewidth=1.2, zorder=1)
    page.add_patch(
        FancyArrowPatch((end[0], height), end, arrowstyle="-|>", mutation_scale=10, color=LINE, linewidth=1.2, zorder=1)
    )
    page.text((start[0] + end[0]) / 2, height + 0.06, text, ha="center", color=MUTED, fontsize=9)


def _title(page: Axes, x: float, y: float, title: str, rest: str) -> None:
    page.text(x, y, title, fontsize=15, weight="bold", color=INK)
    page.text(x + 0.2 + 0.155 * len(title), y, rest, fontsize=11.5, color=MUTED)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, required=True, help="a portrait that may be shown")
    parser.add_argument("--out", type=Path, required=True, help="the picture, PNG")
    arguments = parser.parse_args()
    draw(AgeEditor.from_pretrained(device="cpu"), arguments.photo, arguments.out)


if __name__ == "__main__":
    main()
