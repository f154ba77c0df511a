"""LAKE: selectors, gallery, text branch, the detector and its evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.lake.coreset import greedy_coreset
    from lakeviz.lake.detector import Lake
    from lakeviz.lake.dropping import drop_channels, gallery_tokens, massive_channels
    from lakeviz.lake.evaluation import Evaluation
    from lakeviz.lake.gallery import Gallery, Neighbours
    from lakeviz.lake.layers import default_layers, layer_points
    from lakeviz.lake.measuring import evaluate
    from lakeviz.lake.normalisation import normalise
    from lakeviz.lake.options import (
        ImageScoreRule,
        LakeOptions,
        Normalisation,
        TextOptions,
        VisualOptions,
    )
    from lakeviz.lake.outliers import Outliers, OutlierWatch, PointOutliers, outlier_report
    from lakeviz.lake.prompts import PromptEnsemble
    from lakeviz.lake.score_maps import ScoreMaps, upsample
    from lakeviz.lake.selection import NeuronSelection, Selection, SubspaceSelection
    from lakeviz.lake.selectors import (
        SELECTORS,
        Selector,
        exchange,
        expand_selectors,
        get_selector,
        mad,
        register_selector,
        select,
        trimmed_variance,
    )
    from lakeviz.lake.text import TextBranch, fit_text
    from lakeviz.lake.visual import BranchSpec, VisualBranch, fit_branches

__all__ = [
    "SELECTORS",
    "BranchSpec",
    "Evaluation",
    "Gallery",
    "ImageScoreRule",
    "Lake",
    "LakeOptions",
    "Neighbours",
    "NeuronSelection",
    "Normalisation",
    "OutlierWatch",
    "Outliers",
    "PointOutliers",
    "PromptEnsemble",
    "ScoreMaps",
    "Selection",
    "Selector",
    "SubspaceSelection",
    "TextBranch",
    "TextOptions",
    "VisualBranch",
    "VisualOptions",
    "default_layers",
    "drop_channels",
    "evaluate",
    "exchange",
    "expand_selectors",
    "fit_branches",
    "fit_text",
    "gallery_tokens",
    "get_selector",
    "greedy_coreset",
    "layer_points",
    "mad",
    "massive_channels",
    "normalise",
    "outlier_report",
    "register_selector",
    "select",
    "trimmed_variance",
    "upsample",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "BranchSpec": "visual",
        "Evaluation": "evaluation",
        "Gallery": "gallery",
        "ImageScoreRule": "options",
        "Lake": "detector",
        "LakeOptions": "options",
        "Neighbours": "gallery",
        "NeuronSelection": "selection",
        "Normalisation": "options",
        "OutlierWatch": "outliers",
        "Outliers": "outliers",
        "PointOutliers": "outliers",
        "PromptEnsemble": "prompts",
        "SELECTORS": "selectors",
        "ScoreMaps": "score_maps",
        "Selection": "selection",
        "Selector": "selectors",
        "SubspaceSelection": "selection",
        "TextBranch": "text",
        "TextOptions": "options",
        "VisualBranch": "visual",
        "VisualOptions": "options",
        "default_layers": "layers",
        "drop_channels": "dropping",
        "evaluate": "measuring",
        "exchange": "selectors",
        "expand_selectors": "selectors",
        "fit_branches": "visual",
        "fit_text": "text",
        "gallery_tokens": "dropping",
        "get_selector": "selectors",
        "greedy_coreset": "coreset",
        "layer_points": "layers",
        "mad": "selectors",
        "massive_channels": "dropping",
        "normalise": "normalisation",
        "outlier_report": "outliers",
        "register_selector": "selectors",
        "select": "selectors",
        "trimmed_variance": "selectors",
        "upsample": "score_maps",
    },
)
