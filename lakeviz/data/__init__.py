"""Data sets: readers of published layouts, few-shot draws, decoding, and batches of images.

Importing this package loads no torch; only :class:`ImageBatches` does, when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.data import layouts as layouts
from lakeviz.data.dataset import Dataset
from lakeviz.data.fewshot import FewShotDraw
from lakeviz.data.files import file_sha256
from lakeviz.data.images import load_image, load_mask
from lakeviz.data.layouts.tabular import from_dataframe
from lakeviz.data.registry import (
    Layout,
    Reading,
    datasets_table,
    detect_layout,
    get_layout,
    read_dataset,
    register_reader,
)
from lakeviz.data.table import COLUMNS, GOOD, SPLITS, Sample
from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.data.loading import ImageBatch, ImageBatches

__all__ = [
    "COLUMNS",
    "GOOD",
    "SPLITS",
    "Dataset",
    "FewShotDraw",
    "ImageBatch",
    "ImageBatches",
    "Layout",
    "Reading",
    "Sample",
    "datasets_table",
    "detect_layout",
    "file_sha256",
    "from_dataframe",
    "get_layout",
    "load_image",
    "load_mask",
    "read_dataset",
    "register_reader",
]


__getattr__, _, _ = lazy_face(__name__)
