"""Activations: streaming statistics, capture to memory, and the on-disk store."""

from lakeviz.activations.capture import (
    Activations,
    Loading,
    TokenBatch,
    TokenBatches,
    capture_activations,
    capture_to_store,
    store_key,
    stream_statistics,
)
from lakeviz.activations.statistics import ChannelStatistics, RunningStatistics
from lakeviz.activations.store import ActivationStore, StoreKey
from lakeviz.activations.tokens import neurons_of, select_tokens, token_grid

__all__ = [
    "ActivationStore",
    "Activations",
    "ChannelStatistics",
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
    "stream_statistics",
    "token_grid",
]
