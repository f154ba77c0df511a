"""Defective images among the normal ones: what it does to the selection and to the detector."""

from lakeviz.studies.contamination.result import ContaminationResult
from lakeviz.studies.contamination.study import contamination

__all__ = ["ContaminationResult", "contamination"]
