"""Curves of pixels with their bands as one tidy table, so that they are drawn without the maps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lakeviz.metrics.bootstrap import DEFAULT_BOOTSTRAP, Bootstrap
from lakeviz.metrics.conventions import DEFAULT
from lakeviz.metrics.curve_bands import Band, pixel_bands
from lakeviz.metrics.curves import Curve, pr_of, pro_of, roc_of
from lakeviz.metrics.pixel_intervals import CountedPixels
from lakeviz.tables import numbers, where

COLUMNS = ("kind", "x", "y", "threshold", "low", "high", "n_normal", "n_defect")
N_POINTS = 400
"""Points that a curve keeps, at most."""
_AXES = {
    "roc": ("false-positive rate", "true-positive rate"),
    "pr": ("recall", "precision"),
    "pro": ("false-positive rate", "mean per-region overlap"),
}


def curve_table(counted: CountedPixels, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP) -> pd.DataFrame:
    """ROC, precision-recall and PRO curve of pixels, and their bands.

    Returns
    -------
    DataFrame
        Columns kind (``"roc"``, ``"pr"``, ``"pro"``); x; y and threshold of the curve, thinned to
        400 points, that of PRO up to ``aupro_limit``; low and high of the band; n_normal and
        n_defect, the numbers of pixels. A row is a point of the curve or of the band.
    """
    parts = []
    for kind, band in pixel_bands(counted, bootstrap).items():
        curve = pixel_curve(counted, kind)
        points = {"x": curve.x, "y": curve.y, "threshold": curve.thresholds}
        edges = {"x": band.x, "low": band.low, "high": band.high}
        parts += [pd.DataFrame({"kind": kind, **columns}) for columns in (points, edges)]
    table = pd.concat(parts, ignore_index=True)
    n = counted.counts
    table = table.assign(n_normal=n.n_negative, n_defect=n.n_positive)
    return table.reindex(columns=pd.Index(COLUMNS))


def pixel_curve(counted: CountedPixels, kind: str) -> Curve:
    """Curve of a kind, thinned to :data:`N_POINTS`; that of PRO ends at ``aupro_limit``."""
    counted.require_both_kinds()
    counts, conventions = counted.counts, counted.conventions
    if kind == "pro":
        curve = pro_of(counts, conventions).up_to(conventions.aupro_limit)
    else:
        curve = (roc_of if kind == "roc" else pr_of)(counts, conventions)
    return curve.thin(N_POINTS)


def read_curve(
    table: pd.DataFrame, kind: str, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> tuple[Curve, Band]:
    """Curve and band of a kind from a table of :func:`curve_table` made with ``bootstrap``."""
    x, y, thresholds, low, high = (
        numbers(where(table, kind=kind), name) for name in ("x", "y", "threshold", "low", "high")
    )
    of_curve = np.isfinite(y)
    curve = Curve(x[of_curve], y[of_curve], thresholds[of_curve], *_AXES[kind], DEFAULT)
    return curve, Band(x[~of_curve], low[~of_curve], high[~of_curve], bootstrap)
