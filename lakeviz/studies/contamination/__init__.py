"""Defective images among the normal ones: their effect on selection and detector."""

from lakeviz.studies.base.study import LazyStudy

contamination = LazyStudy(__name__)
