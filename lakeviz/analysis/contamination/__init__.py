"""Defective images among the normal ones: what it does to the selection and to the detector."""

from lakeviz.analysis.contamination.result import ContaminationResult
from lakeviz.analysis.contamination.study import contamination

__all__ = ["ContaminationResult", "contamination"]
