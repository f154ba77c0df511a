"""How the study ``pca`` is shown in a report."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from lakeviz.metrics.estimates import Estimate
from lakeviz.studies.pca import PCAResult
from lakeviz.studies.pca.figures import (
    NAMES,
    metrics_by_size_figure,
    pca_differences_figure,
    retained_figure,
)
from lakeviz.studies.pca.geometry_figures import (
    diagonality_figure,
    eigenvalue_figure,
    nearness_figure,
)
from lakeviz.studies.pca.result import SUMMARY_METRICS
from lakeviz.tables import Row, mean_of, records

_ROWS = 12


def figures(result: PCAResult) -> list[go.Figure]:
    """Differences first, then values, variance, geometry and covariance."""
    level = result.level
    made = [
        pca_differences_figure(
            result.metrics,
            level=of,
            metric=metric,
            smallest_effect=result.smallest_effect,
            interval_level=level,
        )
        for of, metric, _ in SUMMARY_METRICS
        if records(result.metrics, level=of, metric=metric)
    ]
    made += [
        metrics_by_size_figure(result.metrics, interval_level=level),
        retained_figure(result.geometry, interval_level=level),
        nearness_figure(result.geometry, interval_level=level),
        diagonality_figure(result.covariance),
    ]
    if len(result.categories) == 1:
        made.append(eigenvalue_figure(result.spectrum))
    return made


def headline(result: PCAResult) -> pd.DataFrame:
    """Each selector at the detector's own size; of several categories the mean of each."""
    several = len(result.categories) > 1
    rows = []
    for selector in result.provenance["settings"]["selectors"]:
        own = records(result.metrics, selector=selector, k=result.k)
        row = {
            "selection": NAMES.get(selector, selector),
            "variance kept": f"{100 * mean_of(own, 'retained_variance'):.1f} %",
        }
        for level, metric, words in SUMMARY_METRICS:
            found = [r for r in own if (r["level"], r["metric"]) == (level, metric)]
            if found:
                row |= _cells(found, words, several=several)
        row["memory"] = f"{mean_of(own, 'gallery_bytes') / 2**20:.2f} MiB"
        row["search"] = f"{mean_of(own, 'seconds'):.2f} s"
        rows.append(row)
    return pd.DataFrame(rows[:_ROWS]).fillna("–")


def _cells(found: Sequence[Row], words: str, *, several: bool) -> dict[str, str]:
    title = f"top-variance minus this, {words}"
    if several:
        gap = mean_of(found, "difference")
        cells = {words: f"{mean_of(found, 'value'):.3f}"}
        return cells | {title: f"{gap:+.3f}" if gap == gap else "–"}
    row = found[0]
    gap = Estimate(row["difference"], row["difference_low"], row["difference_high"])
    return {
        words: str(Estimate(row["value"], row["low"], row["high"])),
        title: gap.text(signed=True) if gap.value == gap.value else "–",
    }
