"""The tables that ``lakeviz run`` prints: values with intervals, and why some are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lakeviz.lake.evaluation_files import CLIPS, STREAMS
from lakeviz.metrics.estimates import estimate, over_categories
from lakeviz.metrics.registry import metric_bounds
from lakeviz.tables import n_draws, numbers, records, rows, sampled, where
from lakeviz.wording import percent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakeviz.runs.run_folder import RunFolder

_SHOWN = {
    ("image", "auroc"): "image AUROC",
    ("pixel", "auroc"): "pixel AUROC",
    ("pixel", "aupro"): "AUPRO",
}


def metrics_table(run: RunFolder) -> pd.DataFrame:
    """The fused score of every category, and means with the number of categories behind them."""
    own = where(run.table("metrics"), branch="lake")
    made = {c: [_one(own, *metric, [c]) for metric in _SHOWN] for c in run.finished}
    groups = {"mean": list(run.finished)} if len(run.finished) > 1 else {}
    groups |= {f"mean of {name}": list(members) for name, members in run.groups.items()}
    for name, members in groups.items():
        made[name] = [_one(own, *metric, members) for metric in _SHOWN]
    return pd.DataFrame.from_dict(made, orient="index", columns=list(_SHOWN.values()))


def what_brackets_hold(run: RunFolder) -> str:
    """What values and intervals of :func:`metrics_table` are over; empty where there is none."""
    own = run.table("metrics")
    confidence = float(np.nanmax(numbers(own, "confidence"), initial=-np.inf))
    if not np.isfinite(confidence):
        return ""
    units = "images" if run.table(CLIPS).empty else "clips"
    said = f"in brackets: {percent(confidence)} interval over {sampled(own, units=units)}"
    draws = n_draws(own)
    return f"{said}; values are means over the {draws} draws" if draws > 1 else said


def missing_metrics(run: RunFolder) -> list[str]:
    """Why metrics that are shown have no value, a line for each reason."""
    own = where(run.table("metrics"), branch="lake")
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for row in records(rows(own, own["value"].isna().to_numpy())):
        if name := _SHOWN.get((row["level"], row["metric"])):
            metrics, categories = found.setdefault(row["reason"], ({}, {}))
            metrics[name] = categories[row["category"]] = None
    return [
        f"no {' and '.join(metrics)} of {', '.join(categories)}: {reason or 'no reason is kept'}"
        for reason, (metrics, categories) in found.items()
    ]


def streams_table(run: RunFolder) -> pd.DataFrame:
    """Image AUROC of every stream and all fused, by category; empty where there is one stream."""
    table = run.table(STREAMS)
    if table.empty:
        return table
    own = where(table, defect_type="all")
    made = {
        str(stream): [
            _one(where(own, stream=stream), *metric, list(run.finished)) for metric in _SHOWN
        ]
        for stream in own["stream"].unique()
    }
    return pd.DataFrame.from_dict(made, orient="index", columns=list(_SHOWN.values()))


def controls_table(controls: pd.DataFrame) -> pd.DataFrame:
    """The visual branch minus each control: of one category, or the mean over them."""
    made = []
    for first in records(controls.drop_duplicates(["level", "metric", "control"])):
        key = {name: first[name] for name in ("level", "metric", "control")}
        gaps = [estimate(row, "difference") for row in records(controls, **key)]
        ends = metric_bounds(first["level"], first["metric"], difference=True)
        said = {
            "minus": key.pop("control"),
            "difference": over_categories(gaps, 0.95, ends).text(signed=True),
        }
        made.append(key | said | {"categories": len(gaps)})
    return pd.DataFrame(made)


def _one(table: pd.DataFrame, level: str, metric: str, categories: Sequence[str]) -> str:
    found = where(table, level=level, metric=metric)
    chosen = [estimate(r) for r in records(found) if r["category"] in categories]
    chosen = [one for one in chosen if one.value == one.value]
    said = over_categories(chosen, 0.95, metric_bounds(level, metric)).text()
    return said if len(categories) < 2 or not chosen else f"{said} ({len(chosen)})"
