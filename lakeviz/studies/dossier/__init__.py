"""Dossiers of single neurons: all that is known of each, beside random neurons."""

from lakeviz.studies.dossier.result import DossierResult
from lakeviz.studies.dossier.study import dossier
from lakeviz.studies.dossier.vocabulary import default_words, read_words

__all__ = ["DossierResult", "default_words", "dossier", "read_words"]
