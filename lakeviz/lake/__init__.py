"""LAKE: selectors, gallery, text branch, the detector and its evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.lake.coreset import greedy_coreset
    from lakeviz.lake.detector import Lake
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
    from lakeviz.lake.prompts import PromptEnsemble
    from lakeviz.lake.score_maps import ScoreMaps, upsample
    from lakeviz.lake.selection import NeuronSelection, Selection, SubspaceSelection
    from lakeviz.lake.selectors import (
        SELECTORS,
        Selector,
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
    "evaluate",
    "fit_branches",
    "fit_text",
    "get_selector",
    "greedy_coreset",
    "layer_points",
    "mad",
    "normalise",
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
        "evaluate": "measuring",
        "fit_branches": "visual",
        "fit_text": "text",
        "get_selector": "selectors",
        "greedy_coreset": "coreset",
        "layer_points": "layers",
        "mad": "selectors",
        "normalise": "normalisation",
        "register_selector": "selectors",
        "select": "selectors",
        "trimmed_variance": "selectors",
        "upsample": "score_maps",
    },
)
