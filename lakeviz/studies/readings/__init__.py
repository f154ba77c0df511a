"""Readings of the paper: under which of them does top variance beat random neurons, and why."""

from lakeviz.studies.base.study import LazyStudy

readings = LazyStudy(__name__)
