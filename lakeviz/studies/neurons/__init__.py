"""Single-neuron detectors: how well each selected neuron tells defects, beside random neurons."""

from lakeviz.studies.neurons.result import NeuronsResult
from lakeviz.studies.neurons.study import neurons

__all__ = ["NeuronsResult", "neurons"]
