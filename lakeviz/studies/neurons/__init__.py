"""Single neurons as detectors: how well each selected neuron detects, and random neurons."""

from lakeviz.studies.base.study import LazyStudy

neurons = LazyStudy(__name__)
