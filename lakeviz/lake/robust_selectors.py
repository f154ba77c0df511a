"""Selectors that a few tokens cannot move: by median absolute deviation, by trimmed variance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from lakeviz.lake.selection import NeuronSelection
from lakeviz.lake.selector_registry import neurons, register_selector

if TYPE_CHECKING:
    from lakeviz.activations.statistics import ChannelStatistics

TRIM = 0.1
"""Share of a channel's tokens that :func:`trimmed_variance` drops at either end."""
_NORMAL = 0.6744897501960817  # median absolute deviation of a standard normal; 1 / 1.4826


@register_selector("mad", label="median absolute deviation", short="MAD", needs_tokens=True)
def mad(statistics: ChannelStatistics, k: int, generator: np.random.Generator) -> NeuronSelection:
    """The k channels of highest (1.4826 x median absolute deviation)^2 (robust variance).

    The factor makes it the variance where the tokens are normally distributed (Rousseeuw and Croux,
    "Alternatives to the Median Absolute Deviation", JASA 1993). Up to half of the tokens may be
    moved without the estimate leaving all bounds. It is robust against few tokens only: a channel
    with a wide bulk stays first, as channel 41 of ViT-Ti does.
    """
    from scipy.stats import median_abs_deviation

    deviation = median_abs_deviation(statistics.tokens, axis=0, scale=_NORMAL)
    return _highest(statistics, np.square(deviation, dtype=np.float64), k, "mad")


@register_selector("trimmed_variance", needs_tokens=True)
def trimmed_variance(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> NeuronSelection:
    """The k channels of highest variance without each one's lowest and highest 10 % of tokens.

    The numbers of tokens dropped are rounded down. It is smaller than the variance even without
    outliers, by the same factor in all channels of one shape of distribution.
    """
    from scipy.stats import trimboth

    kept = trimboth(statistics.tokens, TRIM, axis=0)
    return _highest(statistics, kept.var(axis=0, dtype=np.float64), k, "trimmed_variance")


def _highest(
    statistics: ChannelStatistics, scores: Float[np.ndarray, " channel"], k: int, selector: str
) -> NeuronSelection:
    """Channels by descending score; equal scores keep the order of their index."""
    channels = np.argsort(-scores, kind="stable")[:k]
    return neurons(statistics, channels, selector, scores[channels])
