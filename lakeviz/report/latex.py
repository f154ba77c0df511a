"""Metrics as a table for LaTeX: value, interval, the best of several runs in bold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from lakeviz import renamed
from lakeviz.errors import ConfigError, DataError, nearest
from lakeviz.metrics.estimates import NOT_MEASURED, Estimate, estimate, mean_over_categories
from lakeviz.metrics.registry import get_metric, metric_title
from lakeviz.plots.difference_plot import DEFAULT_METRICS
from lakeviz.settings import check_choice
from lakeviz.tables import n_draws, records, sampled, where
from lakeviz.wording import counted, joined

if TYPE_CHECKING:
    from lakeviz.lake.evaluation import Evaluation

BRANCHES = {"lake": "LAKE", "visual": "the visual branch", "text": "the text branch"}

Metric = tuple[str, str]
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
    cleaned = " ".join(str(text).split())
    return _SPECIALS.sub(lambda found: _SPECIAL[found.group()], cleaned)


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
    category (or of the means), with every other value that is printed alike; where all are alike
    none is. A dagger says that its interval also overlaps none of the others'. Intervals that
    overlap do not say that two runs are equal: a paired difference decides that.

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
    named = given if isinstance(given, Mapping) else {"": given}
    if not named or any(len(one) == 0 for one in named.values()):
        raise DataError("a table of metrics needs at least one evaluation of every run")
    content = _Content({name: _table(one, branch) for name, one in named.items()}, metrics, branch)
    rows = content.category_rows() if by == "category" else []
    if len(content.categories) > 1 or not rows:
        rows += content.mean_rows()
    if content.several and bold != "none":
        rows = _marked(rows, bold, digits)
    said = caption or _caption(content, rows, bold)
    return _write(content, rows, by, said, label, digits)


# --- what the table holds ---


@dataclass(frozen=True)
class _Cell:
    """A value with its interval, whether it is the best, and whether clearly so."""

    estimate: Estimate
    best: bool = False
    apart: bool = False

    def text(self, digits: int) -> str:
        value, _, ends = self.estimate.text(digits, style="latex").partition(" ")
        said = f"\\textbf{{{value}}}" if self.best else value
        said += r"$^{\dagger}$" if self.apart else ""
        return said + (f" {{\\scriptsize {ends}}}" if ends else "")


@dataclass(frozen=True)
class _Row:
    """One line of the table; rows of one group are compared with each other."""

    group: str
    run: str
    cells: list[_Cell]
    is_mean: bool = False

    @property
    def key(self) -> tuple[bool, str]:
        """What rows of one group share; a category may be called "mean"."""
        return self.is_mean, self.group


@dataclass(frozen=True)
class _Content:
    """Tables of one branch by run, and which metrics of them are shown."""

    runs: Mapping[str, pd.DataFrame]
    metrics: Sequence[Metric]
    branch: str

    def __post_init__(self) -> None:
        known = {":".join(metric) for _, _, metric in self.found}
        for wanted in map(":".join, self.metrics):
            if wanted not in known:
                raise DataError(
                    f"{wanted} of {self.branch!r} is in no run; there are "
                    f"{', '.join(sorted(known))}{nearest(wanted, known)}"
                )

    @cached_property
    def found(self) -> dict[tuple[str, str, Metric], dict[Any, Any]]:
        """Rows of the tables by run, category and metric."""
        return {
            (run, row["category"], (row["level"], row["metric"])): row
            for run, table in self.runs.items()
            for row in records(table)
        }

    @cached_property
    def categories(self) -> list[str]:
        """All categories, in the order of the tables."""
        return list(dict.fromkeys(category for _, category, _ in self.found))

    @property
    def several(self) -> bool:
        """Whether runs are compared."""
        return len(self.runs) > 1

    def estimate(self, run: str, category: str, metric: Metric) -> Estimate:
        """One value; not a number where it was not measured."""
        row = self.found.get((run, category, metric))
        return NOT_MEASURED if row is None else estimate(row)

    def shared(self, metric: Metric) -> list[str]:
        """Categories that every run has a value for."""
        return [
            category
            for category in self.categories
            if all(math.isfinite(self.estimate(run, category, metric).value) for run in self.runs)
        ]

    def category_rows(self) -> list[_Row]:
        """One row per category and run."""
        return [
            _Row(name, run, [_Cell(self.estimate(run, name, metric)) for metric in self.metrics])
            for name in self.categories
            for run in self.runs
        ]

    def mean_rows(self) -> list[_Row]:
        """One row per run: means over the categories that every run has a value for."""
        return [
            _Row("mean", run, [_Cell(self._mean(run, metric)) for metric in self.metrics], True)
            for run in self.runs
        ]

    def _mean(self, run: str, metric: Metric) -> Estimate:
        found = [self.estimate(run, category, metric) for category in self.shared(metric)]
        if len(found) == 1:  # its own interval, over images
            return found[0]
        return mean_over_categories(found, 0.95, get_metric(*metric).bounds)


def _table(given: Metrics, branch: str) -> pd.DataFrame:
    if not isinstance(given, pd.DataFrame):
        tables = [e.metrics.assign(category=e.category) for e in given]
        given = pd.concat(tables, ignore_index=True)
    found = where(given, branch=branch)
    if found.empty:
        raise DataError(
            f"no metric of {branch!r} was measured; there are {sorted(set(given.branch))}"
        )
    if found.duplicated(["category", "level", "metric"]).any():
        raise DataError("a category is there twice; give several runs as a mapping by name")
    return found


def _check(by: str, bold: str, digits: int, label: str) -> None:
    check_choice("by", by, ("category", "run"))
    check_choice("bold", bold, ("max", "min", "none"))
    if not 0 <= digits <= 10:
        raise ConfigError(f"{digits} digits are outside 0 to 10")
    if not re.fullmatch(r"[A-Za-z0-9:._/-]+", label):
        raise ConfigError(f"the label {label!r} holds more than letters, digits and : . _ / -")


def _marked(rows: list[_Row], bold: str, digits: int) -> list[_Row]:
    """Mark the best of each column, among the rows of one group, unless all are printed alike."""
    marked = []
    for key in dict.fromkeys(row.key for row in rows):
        own = [row for row in rows if row.key == key]
        columns = [_mark(list(column), bold, digits) for column in zip(*(r.cells for r in own))]
        marked += [replace(r, cells=list(c)) for r, c in zip(own, zip(*columns), strict=True)]
    return marked


def _mark(column: list[_Cell], bold: str, digits: int) -> list[_Cell]:
    sign = 1 if bold == "max" else -1
    values = [sign * round(cell.estimate.value, digits) for cell in column]
    measured = [value for value in values if math.isfinite(value)]
    if len(set(measured)) < 2:
        return column
    best = [value == max(measured) for value in values]
    alone = sum(best) == 1
    return [
        replace(cell, best=is_best, apart=is_best and alone and _is_apart(cell, column))
        for cell, is_best in zip(column, best, strict=True)
    ]


def _is_apart(cell: _Cell, column: list[_Cell]) -> bool:
    """Whether an interval overlaps none of the others; unknown intervals count as overlapping."""
    own, others = cell.estimate, [other.estimate for other in column if other is not cell]
    return all(
        own.low > other.high or own.high < other.low
        for other in others
        if math.isfinite(other.value)
    )


# --- writing ---


def _caption(content: _Content, rows: list[_Row], bold: str) -> str:
    counts = [int(n) for table in content.runs.values() for n in table["n_images"]]
    span = " to ".join(f"{n:,}" for n in dict.fromkeys((min(counts), max(counts))))
    listed = joined([metric_title(*metric) for metric in content.metrics])
    n = len(content.categories)
    said = [
        f"{listed[0].upper()}{listed[1:]} of {BRANCHES.get(content.branch, content.branch)} on "
        f"{counted(n, 'category', 'categories')} ({span} test images{' each' if n > 1 else ''}"
        f"{_regions(content)}).",
        _of_intervals(content, rows),
    ]
    draws = sorted({n_draws(table) for table in content.runs.values()})
    if draws[-1] > 1:
        n = " to ".join(map(str, dict.fromkeys((draws[0], draws[-1]))))
        said.insert(1, f"Values: means over {n} draws of the normal images.")
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


def _regions(content: _Content) -> str:
    """Say over how many regions AUPRO is: ", 12 to 53 regions"."""
    tables = [table for table in content.runs.values() if "n_regions" in table]
    if ("pixel", "aupro") not in content.metrics or not tables:
        return ""
    found = [int(n) for table in tables for n in table["n_regions"] if n]
    ends = dict.fromkeys((min(found), max(found))) if found else ()
    return f"; AUPRO over {' to '.join(f'{n:,}' for n in ends)} regions" if ends else ""


def _of_intervals(content: _Content, rows: list[_Row]) -> str:
    """Say what the brackets hold, and what means are over."""
    tables = content.runs.values()
    levels = sorted({100 * float(v) for t in tables for v in t["confidence"] if v == v})
    confidence = " or ".join(f"{v:g}" for v in levels) or "95"
    images = f"{confidence} % interval over {sampled(*tables)}"
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


def _absences(content: _Content) -> list[str]:
    """Reasons why values are missing, each once."""
    rows = [
        content.found.get((run, category, metric), {"value": math.nan})
        for run in content.runs
        for category in content.categories
        for metric in content.metrics
    ]
    missing = [row for row in rows if not math.isfinite(float(row["value"]))]
    return list(dict.fromkeys(row.get("reason") or "not measured" for row in missing))


def _write(
    content: _Content, rows: list[_Row], by: str, caption: str, label: str, digits: int
) -> str:
    heads = ([] if by == "run" else ["category"]) + (["run"] if content.several else [])
    heads = heads or [""]
    titles = [*heads, *(metric_title(*metric) for metric in content.metrics)]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex_text(caption)}}}",
        rf"\label{{{label}}}",
        rf"\begin{{tabular}}{{{'l' * len(heads)}{'r' * len(content.metrics)}}}",
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
