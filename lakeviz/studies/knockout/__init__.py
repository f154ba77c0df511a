"""Knock-out of neurons, of three kinds that are kept apart: score, forward, weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.knockout.ablation import Ablation
    from lakeviz.studies.knockout.result import KINDS, REFERENCES, TOKENS, KnockoutResult
    from lakeviz.studies.knockout.score_engine import ScoreEngine

__all__ = [
    "KINDS",
    "REFERENCES",
    "TOKENS",
    "Ablation",
    "KnockoutResult",
    "ScoreEngine",
    "knockout",
]

knockout = LazyStudy(__name__)

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Ablation": "ablation",
        "KINDS": "result",
        "KnockoutResult": "result",
        "REFERENCES": "result",
        "ScoreEngine": "score_engine",
        "TOKENS": "result",
    },
)
