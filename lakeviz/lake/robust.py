"""Selectors by a spread that a few outlying tokens cannot move, unlike the variance.

Both estimate the variance of the bulk of a channel's normal tokens. They are order statistics, so
they need the tokens: statistics made with ``with_tokens=True``.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.stats import median_abs_deviation, trimboth

from lakeviz.activations.statistics import ChannelStatistics
from lakeviz.lake.selection import NeuronSelection
from lakeviz.lake.selectors import register_selector

TRIM = 0.1
"""Share of a channel's tokens that :func:`trimmed_variance` drops at either end."""
_NORMAL = 0.6744897501960817  # median absolute deviation of a standard normal; 1 / 1.4826


@register_selector("mad", needs_tokens=True)
def mad(statistics: ChannelStatistics, k: int, generator: np.random.Generator) -> NeuronSelection:
    """The k channels of highest (1.4826 x median absolute deviation)^2 (robust variance).

    The factor makes it the variance where the tokens are normally distributed (Rousseeuw and Croux,
    "Alternatives to the Median Absolute Deviation", JASA 1993). Up to half of the tokens may be
    moved without the estimate leaving all bounds.
    """
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
    kept = trimboth(statistics.tokens, TRIM, axis=0)
    return _highest(statistics, kept.var(axis=0, dtype=np.float64), k, "trimmed_variance")


def _highest(
    statistics: ChannelStatistics, scores: Float[np.ndarray, " channel"], k: int, selector: str
) -> NeuronSelection:
    """Channels by falling score; equal scores keep the order of their index."""
    channels = np.argsort(-scores, kind="stable")[:k]
    return NeuronSelection(
        point=statistics.point,
        channels=channels.astype(np.int64),
        scores=scores[channels],
        n_channels=statistics.n_channels,
        selector=selector,
        provenance={"n_tokens": statistics.count},
    )
