"""Dossiers of single neurons: all that is known of each, beside random neurons."""

from lakeviz.analysis.dossier.result import DossierResult
from lakeviz.analysis.dossier.study import dossier
from lakeviz.analysis.dossier.words import default_words, read_words

__all__ = ["DossierResult", "default_words", "dossier", "read_words"]
