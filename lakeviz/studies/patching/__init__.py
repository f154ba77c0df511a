"""Interventions on pairs: what units carry of a defect, by exchange with a twin without it."""

from lakeviz.studies.base.study import LazyStudy

patching = LazyStudy(__name__)
