"""A bar chart of the results of `benchmarks.inference`."""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt


def draw_chart(report: dict, file: Path) -> None:
    """One panel for each size and number of ages: median seconds, quartiles, and times faster than the original."""
    cases = sorted({(result["size"], result["ages"]) for result in report["results"]})
    figure, axes = plt.subplots(len(cases), 1, figsize=(8, 2.2 * len(cases)), squeeze=False, layout="constrained")
    for axis, (size, ages) in zip(axes[:, 0], cases, strict=True):
        rows = [result for result in report["results"] if (result["size"], result["ages"]) == (size, ages)]
        medians = [row["total"]["median"] for row in rows]
        low = [row["total"]["median"] - row["total"]["quartile1"] for row in rows]
        high = [row["total"]["quartile3"] - row["total"]["median"] for row in rows]
        colours = ["tab:blue" if row["path"].startswith("ours") else "tab:grey" for row in rows]
        bars = axis.barh([row["path"] for row in rows], medians, xerr=[low, high], color=colours, capsize=3)
        axis.bar_label(bars, [f"{value:.3g} s, {medians[0] / value:.3g} x" for value in medians], padding=6)
        axis.invert_yaxis()
        axis.set_xlim(0, 1.25 * max(m + h for m, h in zip(medians, high, strict=True)))
        axis.set_title(f"{size} x {size}, {ages} age{'s' if ages > 1 else ''}", loc="left", fontsize=10)
    axes[-1, 0].set_xlabel(f"seconds (median and quartiles), {report['cpus']} CPUs: {report['processor']}")
    figure.savefig(file, dpi=120)
    plt.close(figure)
