"""Sparse probes: in how many neurons the knowledge of a defect can be read, and in which."""

from lakeviz.studies.base.study import LazyStudy

probes = LazyStudy(__name__)
