"""Dossiers of single neurons: all that is known of each, compared with random neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.dossier.figures import neuron_figure as neuron_figure
    from lakeviz.studies.dossier.result import DossierResult as DossierResult
    from lakeviz.studies.dossier.vocabulary import default_words as default_words
    from lakeviz.studies.dossier.vocabulary import read_words as read_words

dossier = LazyStudy(__name__)

__getattr__, __dir__, __all__ = lazy_face(__name__, "dossier")
