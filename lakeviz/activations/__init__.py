"""Activations: streaming statistics, capture to memory, and the on-disk store."""

from lakeviz.activations.batches import Images, Loading, TokenBatch, TokenBatches
from lakeviz.activations.capture import (
    Activations,
    capture_activations,
    capture_to_store,
    store_key,
    stream_statistics,
)
from lakeviz.activations.manifest import StoreKey
from lakeviz.activations.per_image import ImageStatistics, stream_image_statistics
from lakeviz.activations.statistics import ChannelStatistics, RunningStatistics
from lakeviz.activations.store import ActivationStore
from lakeviz.activations.tokens import neurons_of, select_tokens, token_grid

__all__ = [
    "ActivationStore",
    "Activations",
    "ChannelStatistics",
    "ImageStatistics",
    "Images",
    "Loading",
    "RunningStatistics",
    "StoreKey",
    "TokenBatch",
    "TokenBatches",
    "capture_activations",
    "capture_to_store",
    "neurons_of",
    "select_tokens",
    "store_key",
    "stream_image_statistics",
    "stream_statistics",
    "token_grid",
]
