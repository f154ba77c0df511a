"""Rows of a table of metrics: values of categories, their means, and which is best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import mean_over_categories
from lakeviz.tables import where

Metric = tuple[str, str]

_FEWEST = 3  # categories for an interval: that of two reaches far beyond what a metric can be


@dataclass(frozen=True)
class Cell:
    """A value with its interval, whether it is the best, and whether clearly so."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    best: bool = False
    apart: bool = False

    def text(self, digits: int) -> str:
        """Write it for LaTeX; a missing value is a dash."""
        if not math.isfinite(self.value):
            return "--"
        said = f"{self.value:.{digits}f}".replace("-", "$-$")
        if self.best:
            said = f"\\textbf{{{said}}}"
        if self.apart:
            said += r"$^{\dagger}$"
        if math.isfinite(self.low) and math.isfinite(self.high):
            ends = f"[{self.low:.{digits}f}, {self.high:.{digits}f}]".replace("-", "$-$")
            said += f" {{\\scriptsize {ends}}}"
        return said


@dataclass(frozen=True)
class Row:
    """One line of the table; rows of one group are compared with each other."""

    group: str
    run: str
    cells: list[Cell]
    is_mean: bool = False

    @property
    def key(self) -> tuple[bool, str]:
        """What rows of one group share; a category may be called "mean"."""
        return self.is_mean, self.group


@dataclass(frozen=True)
class Content:
    """What the table is about."""

    runs: Mapping[str, pd.DataFrame]
    categories: list[str]
    metrics: tuple[Metric, ...]
    branch: str

    @property
    def several(self) -> bool:
        """Whether runs are compared."""
        return len(self.runs) > 1

    def cell(self, run: str, category: str, metric: Metric) -> Cell:
        """One value; empty where it was not measured."""
        row = self.row(run, category, metric)
        if row is None:
            return Cell()
        return Cell(float(row["value"]), float(row["low"]), float(row["high"]))

    def row(self, run: str, category: str, metric: Metric) -> dict[str, Any] | None:
        """One row of the metrics table, if there is one."""
        level, name = metric
        found = where(self.runs[run], category=category, level=level, metric=name)
        return None if found.empty else found.iloc[0].to_dict()

    def shared(self, metric: Metric) -> list[str]:
        """Categories that every run has a value for."""
        return [
            category
            for category in self.categories
            if all(math.isfinite(self.cell(run, category, metric).value) for run in self.runs)
        ]


def category_rows(content: Content) -> list[Row]:
    """One row per category and run."""
    return [
        Row(category, run, [content.cell(run, category, metric) for metric in content.metrics])
        for category in content.categories
        for run in content.runs
    ]


def mean_rows(content: Content) -> list[Row]:
    """One row per run: means over the categories that every run has a value for."""
    return [
        Row("mean", run, [_mean(content, run, metric) for metric in content.metrics], True)
        for run in content.runs
    ]


def _mean(content: Content, run: str, metric: Metric) -> Cell:
    cells = [content.cell(run, category, metric) for category in content.shared(metric)]
    if len(cells) < 2:  # one category: its own interval, over images
        return cells[0] if cells else Cell()
    found = mean_over_categories(np.array([cell.value for cell in cells]), Bootstrap().confidence)
    if len(cells) < _FEWEST:
        return Cell(found.value)
    return Cell(found.value, found.low, found.high)


def marked(rows: list[Row], bold: str, digits: int) -> list[Row]:
    """Mark the best of each column, among the rows of one group, unless all are printed alike."""
    marked = []
    for key in dict.fromkeys(row.key for row in rows):
        own = [row for row in rows if row.key == key]
        columns = [_mark(list(column), bold, digits) for column in zip(*(r.cells for r in own))]
        marked += [replace(r, cells=list(c)) for r, c in zip(own, zip(*columns), strict=True)]
    return marked


def _mark(column: list[Cell], bold: str, digits: int) -> list[Cell]:
    sign = 1 if bold == "max" else -1
    values = [sign * round(cell.value, digits) for cell in column if math.isfinite(cell.value)]
    if len(set(values)) < 2:
        return column
    best = [sign * round(cell.value, digits) == max(values) for cell in column]
    alone = sum(best) == 1
    return [
        replace(cell, best=is_best, apart=is_best and alone and _apart(cell, column))
        for cell, is_best in zip(column, best, strict=True)
    ]


def _apart(cell: Cell, column: list[Cell]) -> bool:
    """Whether an interval overlaps none of the others; unknown intervals count as overlapping."""
    others = [other for other in column if other is not cell and math.isfinite(other.value)]
    return all(cell.low > other.high or cell.high < other.low for other in others)
