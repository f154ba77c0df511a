"""Activations: streaming statistics, capture to memory, and the on-disk store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.activations.batches import Images, TokenBatch, TokenBatches
    from lakeviz.activations.capture import (
        Activations,
        capture_activations,
        capture_to_store,
        store_key,
        stream_statistics,
    )
    from lakeviz.activations.loading import Loading
    from lakeviz.activations.manifest import StoreKey
    from lakeviz.activations.massive import massive_activations, massive_tokens
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
    "massive_activations",
    "massive_tokens",
    "neurons_of",
    "select_tokens",
    "store_key",
    "stream_image_statistics",
    "stream_statistics",
    "token_grid",
]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "ActivationStore": "store",
        "Activations": "capture",
        "ChannelStatistics": "statistics",
        "ImageStatistics": "per_image",
        "Images": "batches",
        "Loading": "loading",
        "RunningStatistics": "statistics",
        "StoreKey": "manifest",
        "TokenBatch": "batches",
        "TokenBatches": "batches",
        "capture_activations": "capture",
        "capture_to_store": "capture",
        "massive_activations": "massive",
        "massive_tokens": "massive",
        "neurons_of": "tokens",
        "select_tokens": "tokens",
        "store_key": "capture",
        "stream_image_statistics": "per_image",
        "stream_statistics": "capture",
        "token_grid": "tokens",
    },
)
