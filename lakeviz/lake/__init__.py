"""LAKE: selectors, gallery, text branch, the detector and its evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.lake.detector import Lake as Lake
    from lakeviz.lake.dropping import drop_channels as drop_channels
    from lakeviz.lake.dropping import gallery_tokens as gallery_tokens
    from lakeviz.lake.dropping import massive_channels as massive_channels
    from lakeviz.lake.evaluation import Evaluation as Evaluation
    from lakeviz.lake.gallery import Gallery as Gallery
    from lakeviz.lake.gallery import Neighbours as Neighbours
    from lakeviz.lake.gallery import greedy_coreset as greedy_coreset
    from lakeviz.lake.gallery import normalise as normalise
    from lakeviz.lake.layers import default_layers as default_layers
    from lakeviz.lake.layers import layer_points as layer_points
    from lakeviz.lake.measuring import evaluate as evaluate
    from lakeviz.lake.options import ImageScoreRule as ImageScoreRule
    from lakeviz.lake.options import LakeOptions as LakeOptions
    from lakeviz.lake.options import Normalisation as Normalisation
    from lakeviz.lake.options import TextOptions as TextOptions
    from lakeviz.lake.options import VisualOptions as VisualOptions
    from lakeviz.lake.outliers import Outliers as Outliers
    from lakeviz.lake.outliers import OutlierWatch as OutlierWatch
    from lakeviz.lake.outliers import PointOutliers as PointOutliers
    from lakeviz.lake.outliers import outlier_report as outlier_report
    from lakeviz.lake.prompts import PromptEnsemble as PromptEnsemble
    from lakeviz.lake.score_maps import ScoreMaps as ScoreMaps
    from lakeviz.lake.score_maps import upsample as upsample
    from lakeviz.lake.selection import NeuronSelection as NeuronSelection
    from lakeviz.lake.selection import Selection as Selection
    from lakeviz.lake.selection import SubspaceSelection as SubspaceSelection
    from lakeviz.lake.selectors import SELECTORS as SELECTORS
    from lakeviz.lake.selectors import Selector as Selector
    from lakeviz.lake.selectors import exchange as exchange
    from lakeviz.lake.selectors import expand_selectors as expand_selectors
    from lakeviz.lake.selectors import get_selector as get_selector
    from lakeviz.lake.selectors import mad as mad
    from lakeviz.lake.selectors import register_selector as register_selector
    from lakeviz.lake.selectors import select as select
    from lakeviz.lake.selectors import trimmed_variance as trimmed_variance
    from lakeviz.lake.text import TextBranch as TextBranch
    from lakeviz.lake.text import fit_text as fit_text
    from lakeviz.lake.visual import BranchSpec as BranchSpec
    from lakeviz.lake.visual import VisualBranch as VisualBranch
    from lakeviz.lake.visual import fit_branches as fit_branches

__getattr__, __dir__, __all__ = lazy_face(__name__)
