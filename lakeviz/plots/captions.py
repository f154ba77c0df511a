"""Pieces of captions: how many images, over how many categories, and at which confidence."""

from __future__ import annotations

import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.metrics.comparison import ONE_MORE, PAIRED
from lakeviz.tables import numbers, over_draws
from lakeviz.wording import counted, percent


def tested(table: pd.DataFrame) -> str:
    """Write "87 test images", or "23 to 117 test images" where ``n_images`` differs.

    Where the numbers are means over draws of the normal images, it says of how many.
    """
    n = span(table, "n_images")
    return f"{n} test image" + "s" * (n != "1") + over_draws(table)


def difference_bars(table: pd.DataFrame, confidence: float) -> str:
    """Say what the intervals of a table's differences are of, as its ``estimand`` has it."""
    of = {str(one) for one in table["estimand"] if one} if "estimand" in table else {PAIRED}
    said = {
        frozenset({ONE_MORE}): f"prediction interval: {ONE_MORE}",
        frozenset({PAIRED}): f"interval, {PAIRED}",
        frozenset({ONE_MORE, PAIRED}): (
            f"interval, {PAIRED}; of random controls the prediction interval: {ONE_MORE}"
        ),
    }
    return f"{percent(confidence)} {said.get(frozenset(of), f'interval, {PAIRED}')}"


def span(table: pd.DataFrame, column: str) -> str:
    """Write the range of a column of whole numbers: "1,200", or "23 to 1,200"."""
    if table.empty:
        raise ConfigError("there is no row to draw")
    found = numbers(table, column)
    ends = dict.fromkeys((int(found.min()), int(found.max())))
    return " to ".join(f"{n:,}" for n in ends)


def n_categories(table: pd.DataFrame) -> int:
    """Number of categories of a table; one where it has no such column."""
    return len(set(table["category"])) if "category" in table else 1


def categories(table: pd.DataFrame) -> str:
    """Write "1 category", "5 categories"."""
    return counted(n_categories(table), "category", "categories")


def mean_over(table: pd.DataFrame) -> str:
    """Write ", mean over 5 categories"; empty where there is one."""
    n = n_categories(table)
    return "" if n == 1 else f", mean over {n} categories"


def only(table: pd.DataFrame, *columns: str) -> list[str]:
    """Return the one value of each column."""
    if table.empty:
        raise ConfigError("there is no row to draw")
    found = []
    for column in columns:
        values = list(dict.fromkeys(table[column]))
        if len(values) > 1:
            listed = ", ".join(map(str, values))
            raise ConfigError(f"a figure shows one {column}, not {len(values)}: {listed}")
        found.append(values[0])
    return found
