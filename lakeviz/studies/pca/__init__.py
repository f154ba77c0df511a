"""Neurons of high variance compared with truncated PCA of the same size."""

from lakeviz.studies.base.study import LazyStudy

pca = LazyStudy(__name__)
