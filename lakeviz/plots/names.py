"""Names that figures, tables and reports show."""

from __future__ import annotations

from lakeviz.plots.template import plain

MEASURE_NAMES = {
    "image_auroc": "image AUROC",
    "pixel_auroc": "pixel AUROC",
    "patch_auroc": "patch AUROC",
    "cohens_d": "Cohen's d",
    "matched_d": "difference at matched positions (pooled sd)",
    "rank_biserial": "rank-biserial correlation",
    "abs_cohens_d": "|Cohen's d|",
    "abs_matched_d": "|difference at matched positions| (pooled sd)",
    "deviation_d": "Cohen's d of the deviation",
    "deviation_matched_d": "deviation, matched positions (pooled sd)",
    "deviation_auroc": "patch AUROC of the deviation",
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


def short_point(point: str) -> str:
    """A hook point without the words that all have."""
    return plain(point.removesuffix(".hook_resid_post"))
