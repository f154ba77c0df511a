"""Neurons of high variance against truncated PCA, of the same size: the paper's equivalence."""

from lakeviz.analysis.pca.result import PCAResult
from lakeviz.analysis.pca.study import pca

__all__ = ["PCAResult", "pca"]
