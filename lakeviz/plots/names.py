"""Names that figures, tables and reports show."""

from __future__ import annotations

import math

from lakeviz.plots.template import plain

UNMATCHED = "positions not matched"
"""Marks what compares defect patches with normal patches of any position."""

MEASURE_NAMES = {
    "image_auroc": "image AUROC",
    "pixel_auroc": f"pixel AUROC ({UNMATCHED})",
    "matched_auroc": "patch AUROC at matched positions",
    "matched_d": "difference at matched positions (pooled sd)",
    "patch_auroc": f"patch AUROC ({UNMATCHED})",
    "cohens_d": f"Cohen's d ({UNMATCHED})",
    "rank_biserial": f"rank-biserial correlation ({UNMATCHED})",
    "abs_cohens_d": f"|Cohen's d| ({UNMATCHED})",
    "abs_matched_d": "|difference at matched positions| (pooled sd)",
    "deviation_d": f"Cohen's d of the deviation ({UNMATCHED})",
    "deviation_matched_d": "deviation, matched positions (pooled sd)",
    "deviation_auroc": f"patch AUROC of the deviation ({UNMATCHED})",
    "cliffs_delta": "Cliff's delta",
    "abs_cliffs_delta": "|Cliff's delta|",
    "share_normal": "share of a normal patch's distance",
    "share_anomalous": "share of a defect patch's distance",
    "share_excess": "share in defect minus normal patches",
    "loss_image_auroc": "loss of image AUROC, score knock-out",
    "loss_pixel_aupro": "loss of AUPRO, score knock-out",
}
"""Measures of single neurons."""


def measure_title(measure: str) -> str:
    """Name of a measure of single neurons, as axes and captions show it."""
    return MEASURE_NAMES.get(measure, measure.replace("_", " "))


def measure_bounds(measure: str, *, difference: bool = False) -> tuple[float, float]:
    """Least and greatest value of a measure of single neurons, or of a difference of two."""
    low, high = -math.inf, math.inf
    if measure.startswith("loss_") or measure in ("rank_biserial", "cliffs_delta", "share_excess"):
        low, high = -1.0, 1.0
    elif measure.endswith("auroc") or measure == "abs_cliffs_delta":
        low, high = 0.0, 1.0
    return (low - high, high - low) if difference else (low, high)


def short_point(point: str) -> str:
    """A hook point without the words that all have."""
    return plain(point.removesuffix(".hook_resid_post"))
