"""Knock-out of neurons, of three kinds that are kept apart: score, forward, weights."""

from lakeviz.analysis.knockout.ablation import KINDS, REFERENCES, TOKENS, Ablation
from lakeviz.analysis.knockout.result import KnockoutResult
from lakeviz.analysis.knockout.score import ScoreEngine
from lakeviz.analysis.knockout.study import knockout

__all__ = [
    "KINDS",
    "REFERENCES",
    "TOKENS",
    "Ablation",
    "KnockoutResult",
    "ScoreEngine",
    "knockout",
]
