"""Data sets: readers of published layouts, few-shot draws, decoding, and batches of images.

Importing this package loads no torch; only :class:`ImageBatches` does, when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.data import layouts as layouts  # registers the readers
from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.data.dataset import Dataset as Dataset
    from lakeviz.data.fewshot import FewShotDraw as FewShotDraw
    from lakeviz.data.files import file_sha256 as file_sha256
    from lakeviz.data.images import load_image as load_image
    from lakeviz.data.images import load_mask as load_mask
    from lakeviz.data.layouts.tabular import from_dataframe as from_dataframe
    from lakeviz.data.loading import ImageBatch as ImageBatch
    from lakeviz.data.loading import ImageBatches as ImageBatches
    from lakeviz.data.registry import Layout as Layout
    from lakeviz.data.registry import Reading as Reading
    from lakeviz.data.registry import datasets_table as datasets_table
    from lakeviz.data.registry import detect_layout as detect_layout
    from lakeviz.data.registry import get_layout as get_layout
    from lakeviz.data.registry import read_dataset as read_dataset
    from lakeviz.data.registry import register_reader as register_reader
    from lakeviz.data.table import COLUMNS as COLUMNS
    from lakeviz.data.table import GOOD as GOOD
    from lakeviz.data.table import SPLITS as SPLITS
    from lakeviz.data.table import Sample as Sample

__getattr__, __dir__, __all__ = lazy_face(__name__)
