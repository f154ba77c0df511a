"""Knock-out of neurons, of three kinds that are kept apart: score, forward, weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.knockout.ablation import Ablation as Ablation
    from lakeviz.studies.knockout.result import KINDS as KINDS
    from lakeviz.studies.knockout.result import REFERENCES as REFERENCES
    from lakeviz.studies.knockout.result import TOKENS as TOKENS
    from lakeviz.studies.knockout.result import KnockoutResult as KnockoutResult
    from lakeviz.studies.knockout.score_engine import ScoreEngine as ScoreEngine

knockout = LazyStudy(__name__)

__getattr__, __dir__, __all__ = lazy_face(__name__, "knockout")
