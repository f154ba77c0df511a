"""Neurons of high variance against truncated PCA, of the same size: the paper's equivalence."""

from lakeviz.studies.pca.result import PCAResult
from lakeviz.studies.pca.study import pca

__all__ = ["PCAResult", "pca"]
