"""Knock-out of neurons, of three kinds that are kept apart: score, forward, weights."""

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

knockout = LazyStudy(__name__)

__getattr__, __dir__ = lazy_face(
    __name__,
    dict.fromkeys(("KINDS", "KnockoutResult", "REFERENCES", "TOKENS"), "result")
    | {"Ablation": "ablation", "ScoreEngine": "score_engine"},
)
