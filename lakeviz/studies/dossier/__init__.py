"""Dossiers of single neurons: all that is known of each, compared with random neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.dossier.figures import neuron_figure
    from lakeviz.studies.dossier.result import DossierResult
    from lakeviz.studies.dossier.vocabulary import default_words, read_words

__all__ = ["DossierResult", "default_words", "dossier", "neuron_figure", "read_words"]

dossier = LazyStudy(__name__)

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "DossierResult": "result",
        "default_words": "vocabulary",
        "neuron_figure": "figures",
        "read_words": "vocabulary",
    },
)
