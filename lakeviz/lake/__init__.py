"""LAKE: selectors, gallery, text branch, the detector and its evaluation."""

from lakeviz.lake.coreset import greedy_coreset
from lakeviz.lake.detector import Lake, LakeOptions
from lakeviz.lake.evaluation import Evaluation, evaluate
from lakeviz.lake.gallery import Gallery, Neighbours
from lakeviz.lake.layers import default_layers, layer_points
from lakeviz.lake.normalisation import Normalisation, normalise
from lakeviz.lake.prompts import PromptEnsemble
from lakeviz.lake.robust import mad, trimmed_variance
from lakeviz.lake.score_maps import ImageScoreRule, ScoreMaps, upsample
from lakeviz.lake.selection import NeuronSelection, Selection, SubspaceSelection
from lakeviz.lake.selectors import SELECTORS, Selector, get_selector, register_selector, select
from lakeviz.lake.text import TextBranch, TextOptions, fit_text
from lakeviz.lake.visual import BranchSpec, VisualBranch, VisualOptions, fit_branches

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
