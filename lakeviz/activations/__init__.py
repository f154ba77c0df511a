"""Activations: streaming statistics, capture to memory, and the on-disk store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.activations.batches import Images as Images
    from lakeviz.activations.batches import TokenBatch as TokenBatch
    from lakeviz.activations.batches import TokenBatches as TokenBatches
    from lakeviz.activations.capture import Activations as Activations
    from lakeviz.activations.capture import capture_activations as capture_activations
    from lakeviz.activations.capture import capture_to_store as capture_to_store
    from lakeviz.activations.capture import store_key as store_key
    from lakeviz.activations.capture import stream_statistics as stream_statistics
    from lakeviz.activations.loading import Loading as Loading
    from lakeviz.activations.manifest import StoreKey as StoreKey
    from lakeviz.activations.massive import massive_activations as massive_activations
    from lakeviz.activations.massive import massive_tokens as massive_tokens
    from lakeviz.activations.per_image import ImageStatistics as ImageStatistics
    from lakeviz.activations.per_image import stream_image_statistics as stream_image_statistics
    from lakeviz.activations.statistics import ChannelStatistics as ChannelStatistics
    from lakeviz.activations.statistics import RunningStatistics as RunningStatistics
    from lakeviz.activations.store import ActivationStore as ActivationStore
    from lakeviz.activations.tokens import neurons_of as neurons_of
    from lakeviz.activations.tokens import select_tokens as select_tokens
    from lakeviz.activations.tokens import token_grid as token_grid

__getattr__, __dir__, __all__ = lazy_face(__name__)
