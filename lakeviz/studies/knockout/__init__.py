"""Knock-out of neurons, of three kinds that are kept apart: score, forward, weights."""

from lakeviz.studies.knockout.ablation import KINDS, REFERENCES, TOKENS, Ablation
from lakeviz.studies.knockout.result import KnockoutResult
from lakeviz.studies.knockout.score_engine import ScoreEngine
from lakeviz.studies.knockout.study import knockout

__all__ = [
    "KINDS",
    "REFERENCES",
    "TOKENS",
    "Ablation",
    "KnockoutResult",
    "ScoreEngine",
    "knockout",
]
