"""Metrics as a table for LaTeX: value, interval, the best of several runs in bold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import pandas as pd

from lakeviz import renamed
from lakeviz.errors import ConfigError, DataError, nearest
from lakeviz.plots.difference_plot import metric_title
from lakeviz.plots.template import counted
from lakeviz.report.metric_rows import Content, Metric, Row, category_rows, marked, mean_rows
from lakeviz.tables import where

if TYPE_CHECKING:
    from lakeviz.lake.evaluation import Evaluation

DEFAULT_METRICS = (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro"))
BRANCHES = {"lake": "LAKE", "visual": "the visual branch", "text": "the text branch"}

Metrics = pd.DataFrame | Sequence["Evaluation"]

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "−": "$-$",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_SPECIALS = re.compile("|".join(map(re.escape, _SPECIAL)))


def latex_text(text: object) -> str:
    r"""Write any text so that LaTeX prints it as it is.

    >>> print(latex_text("50 % of a_b"))
    50 \% of a\_b
    """
    joined = " ".join(str(text).split())
    return _SPECIALS.sub(lambda found: _SPECIAL[found.group()], joined)


@renamed.parameters(part="branch")
def metrics_table(
    given: Metrics | Mapping[str, Metrics],
    metrics: Sequence[Metric] = DEFAULT_METRICS,
    *,
    by: Literal["category", "run"] = "category",
    bold: Literal["max", "min", "none"] = "max",
    branch: str = "lake",
    digits: int = 3,
    label: str = "tab:metrics",
    caption: str | None = None,
) -> str:
    """Write metrics as a LaTeX table; it needs the package ``booktabs``.

    Where several runs are compared, the best value of each column is bold among the runs of one
    category (or of the means), with every other value that is printed alike;
    where all are alike none is. A dagger says that
    its interval also overlaps none of the others'. Intervals that overlap do not say that two runs
    are equal: a paired difference decides that, see :mod:`lakeviz.metrics.comparison`.

    Parameters
    ----------
    given : evaluations, a metrics table, or a mapping of run name to either
        Several categories as several evaluations, or as one table below the other.
    metrics : sequence of (level, metric)
        The columns.
    by : str
        ``"category"``: a row per category (and run), then the mean. ``"run"``: the mean of each
        run alone. Means of several runs are over the categories that all of them have a value for.
    bold : str
        Which is best: ``"max"``, ``"min"``, or ``"none"`` for no mark.
    branch : str
        ``"lake"``, ``"visual"``, ``"text"`` or ``"text_image"``.
    digits : int
    label : str
    caption : str, optional
        Plain text, in place of the one that says n, what the intervals are, and the rule for bold.

    Returns
    -------
    str
        A ``table`` environment. Names are escaped.

    Raises
    ------
    ConfigError
        An option is not one of those above.
    DataError
        Nothing is given, or a metric is in no run.
    """
    _check(by, bold, digits, label)
    runs = {name: _table(one, branch) for name, one in _named(given).items()}
    for metric in metrics:
        _check_measured(runs, metric, branch)
    categories = list(dict.fromkeys(c for table in runs.values() for c in table["category"]))
    content = Content(runs, categories, tuple(metrics), branch)
    rows = category_rows(content) if by == "category" else []
    if len(categories) > 1 or not rows:
        rows += mean_rows(content)
    if content.several and bold != "none":
        rows = marked(rows, bold, digits)
    said = caption or _caption(content, rows, bold)
    return _write(content, rows, by, said, label, digits)


# --- reading ---


def _named(given: Metrics | Mapping[str, Metrics]) -> Mapping[str, Metrics]:
    named = given if isinstance(given, Mapping) else {"": given}
    if not named or any(len(one) == 0 for one in named.values()):
        raise DataError("a table of metrics needs at least one evaluation of every run")
    return named


def _table(given: Metrics, branch: str) -> pd.DataFrame:
    if not isinstance(given, pd.DataFrame):
        tables = [e.metrics.assign(category=e.category) for e in given]
        given = pd.concat(tables, ignore_index=True)
    found = where(given, branch=branch)
    if found.empty:
        raise DataError(
            f"no metric of {branch!r} was measured; there are {sorted(set(given.branch))}"
        )
    keys = ["category", "level", "metric"]
    if found.duplicated(keys).any():
        raise DataError("a category is there twice; give several runs as a mapping by name")
    return found


def _check(by: str, bold: str, digits: int, label: str) -> None:
    for name, value, known in (
        ("by", by, ("category", "run")),
        ("bold", bold, ("max", "min", "none")),
    ):
        if value not in known:
            raise ConfigError(f"{name} is {value!r}; it can be {', '.join(known)}")
    if not 0 <= digits <= 10:
        raise ConfigError(f"{digits} digits are outside 0 to 10")
    if not re.fullmatch(r"[A-Za-z0-9:._/-]+", label):
        raise ConfigError(f"the label {label!r} holds more than letters, digits and : . _ / -")


def _check_measured(runs: Mapping[str, pd.DataFrame], metric: Metric, branch: str) -> None:
    known = {
        f"{level}:{name}"
        for table in runs.values()
        for level, name in zip(table["level"], table["metric"], strict=True)
    }
    wanted = ":".join(metric)
    if wanted not in known:
        raise DataError(
            f"{wanted} of {branch!r} is in no run; there are {', '.join(sorted(known))}"
            f"{nearest(wanted, known)}"
        )


# --- writing ---


def _caption(content: Content, rows: list[Row], bold: str) -> str:
    counts = sorted({int(n) for table in content.runs.values() for n in table["n_images"]})
    span = " to ".join(f"{n:,}" for n in dict.fromkeys((counts[0], counts[-1])))
    names = [metric_title(*metric) for metric in content.metrics]
    listed = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    n = len(content.categories)
    of = BRANCHES.get(content.branch, content.branch)
    said = [
        f"{listed[0].upper()}{listed[1:]} of {of} on {counted(n, 'category', 'categories')} "
        f"({span} test images{' each' if n > 1 else ''}).",
        _of_intervals(content, rows),
    ]
    if content.several and bold != "none":
        which = "highest" if bold == "max" else "lowest"
        among = "" if len({row.key for row in rows}) == 1 else " of each category and of the mean"
        said.append(
            f"Bold: the {which} value{among}, ties as printed included; none where all are alike."
        )
        if any(cell.apart for row in rows for cell in row.cells):
            said.append("Dagger: its interval overlaps none of the others.")
    reasons = _absences(content)
    if reasons:
        said.append(f"A dash: {'; '.join(reasons)}.")
    return " ".join(said)


def _of_intervals(content: Content, rows: list[Row]) -> str:
    """Say what the brackets hold, and what means are over."""
    tables = content.runs.values()
    levels = sorted({100 * float(v) for t in tables for v in t["confidence"] if v == v})
    images = f"{' or '.join(f'{v:g}' for v in levels) or '95'} % bootstrap interval over images"
    over = "Student's 95 % interval over categories"
    shared = {metric: len(content.shared(metric)) for metric in content.metrics}
    if len(content.categories) == 1:
        return f"Brackets: {images}."
    if all(row.is_mean for row in rows):
        text = f"Means over categories. Brackets: {over}."
    else:
        text = f"Brackets: {images}; of the mean, {over}."
    fewer = [
        f"{n} for {metric_title(*metric)}"
        for metric, n in shared.items()
        if 0 < n < len(content.categories)
    ]
    if fewer:
        text += f" Means are over the categories with a value in every run: {', '.join(fewer)}."
    if 1 in shared.values():
        text += f" With one category: {images}."
    return text


def _absences(content: Content) -> list[str]:
    """Reasons why values are missing, each once."""
    reasons = []
    for run in content.runs:
        for category in content.categories:
            for metric in content.metrics:
                row = content.row(run, category, metric)
                if row is None or not math.isfinite(float(row["value"])):
                    reason = "" if row is None else row["reason"]
                    reasons.append(reason or "not measured")
    return list(dict.fromkeys(reasons))


def _write(
    content: Content, rows: list[Row], by: str, caption: str, label: str, digits: int
) -> str:
    heads = ([] if by == "run" else ["category"]) + (["run"] if content.several else [])
    heads = heads or [""]
    titles = [*heads, *(metric_title(*metric) for metric in content.metrics)]
    columns = "l" * len(heads) + "r" * len(content.metrics)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_text(caption)}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _line([latex_text(title) for title in titles]),
    ]
    before = None
    for row in rows:
        first = row.key != before
        if before is None or (first and (content.several or row.is_mean)):
            lines.append(r"\midrule")
        before = row.key
        names = ([] if by == "run" else [row.group if first else ""]) + (
            [row.run] if content.several else []
        )
        cells = [cell.text(digits) for cell in row.cells]
        lines.append(_line([*map(latex_text, names or ["mean"]), *cells]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _line(cells: Sequence[str]) -> str:
    # After the end of a line LaTeX takes a bracket or a star for an option.
    if cells[0][:1] in ("[", "*"):
        cells = ["{}" + cells[0], *cells[1:]]
    return " & ".join(cells) + r" \\"
