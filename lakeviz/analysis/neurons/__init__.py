"""Single-neuron detectors: how well each selected neuron tells defects, beside random neurons."""

from lakeviz.analysis.neurons.result import NeuronsResult
from lakeviz.analysis.neurons.study import neurons

__all__ = ["NeuronsResult", "neurons"]
