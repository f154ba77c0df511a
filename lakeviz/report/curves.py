"""Curves of an evaluation: scores, labels, and the value with its interval for the legend."""

from __future__ import annotations

import math

import pandas as pd

from lakeviz.plots import Scored
from lakeviz.tables import numbers, where

BRANCHES = {"score": "LAKE", "visual": "visual only", "text": "text only"}


def measured(
    metrics: pd.DataFrame, level: str, name: str, branch: str = "lake"
) -> tuple[float, float, float, float]:
    """Value, ends of its interval and the interval's level; NaN where it was not measured."""
    row = where(metrics, level=level, metric=name, branch=branch)
    if row.empty:
        return math.nan, math.nan, math.nan, math.nan
    value, low, high, confidence = (
        float(numbers(row, column)[0]) for column in ("value", "low", "high", "confidence")
    )
    return value, low, high, confidence


def image_runs(scores: pd.DataFrame, metrics: pd.DataFrame, name: str) -> dict[str, Scored]:
    """Image scores of LAKE and of its branches in one category.

    Parameters
    ----------
    scores, metrics : DataFrame
        Tables of one evaluation.
    name : str
        The metric of the legend, ``"auroc"`` or ``"average_precision"``.
    """
    labels = scores["label"].to_numpy()
    columns = [column for column in BRANCHES if column in scores]
    if "text" not in columns:  # the fused score is the visual branch
        columns = ["score"]
    runs = {}
    for column in columns:
        branch = "lake" if column == "score" else column
        value = measured(metrics, "image", name, branch)
        runs[BRANCHES[column]] = Scored(numbers(scores, column), labels, *value)
    return runs
