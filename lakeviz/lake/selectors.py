"""Selectors of the neurons of a hook point. LAKE's is :func:`variance`; the others are controls.

Each is a function ``(statistics, k, generator) -> Selection``. :func:`register_selector` adds one,
with the names that figures, tables and reports show for it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from lakeviz.errors import SelectionError, nearest
from lakeviz.lake.selection import NeuronSelection, Selection, SubspaceSelection
from lakeviz.selector_names import SELECTOR_NAMES

if TYPE_CHECKING:
    # Loads torch, which a program that only names the selectors does not need.
    from lakeviz.activations.statistics import ChannelStatistics

SelectorFunction = Callable[["ChannelStatistics", int, np.random.Generator], Selection]

TRIM = 0.1
"""Share of a channel's tokens that :func:`trimmed_variance` drops at either end."""
_NORMAL = 0.6744897501960817  # median absolute deviation of a standard normal; 1 / 1.4826


@dataclass(frozen=True)
class Selector:
    """A registered selector.

    Parameters
    ----------
    name : str
        Its name in options and results.
    label : str
        What figures and tables call the neurons it selects, such as "random neurons".
    short : str
        The same for narrow places, such as legends of many lines.
    select : callable
        ``(statistics, k, generator) -> Selection``.
    description : str
        One sentence for tables.
    needs_covariance : bool
        Whether the statistics must hold the covariance matrix.
    is_random : bool
        Whether another seed gives another selection.
    uses_k : bool
        Whether ``k`` has a meaning; it is not checked where it has none.
    needs_tokens : bool
        Whether the statistics must hold the tokens themselves.
    """

    name: str
    label: str
    short: str
    select: SelectorFunction
    description: str
    needs_covariance: bool = False
    is_random: bool = False
    uses_k: bool = True
    needs_tokens: bool = False


SELECTORS: dict[str, Selector] = {}


def register_selector(
    name: str,
    *,
    label: str | None = None,
    short: str | None = None,
    needs_covariance: bool = False,
    is_random: bool = False,
    uses_k: bool = True,
    needs_tokens: bool = False,
) -> Callable[[SelectorFunction], SelectorFunction]:
    """Register a function as selector ``name``; its docstring's first line describes it.

    The order of registration is the order of selectors in figures and tables. For the parameters
    see :class:`Selector`; ``label`` is by default ``name`` with spaces, ``short`` is ``label``.

    Raises
    ------
    SelectionError
        If the name is taken.
    """

    def decorate(function: SelectorFunction) -> SelectorFunction:
        if name in SELECTORS:
            raise SelectionError(f"a selector {name!r} is already registered")
        shown = label or name.replace("_", " ")
        description = (function.__doc__ or "").strip().split("\n")[0]
        SELECTORS[name] = Selector(
            name,
            shown,
            short or shown,
            function,
            description,
            needs_covariance,
            is_random,
            uses_k,
            needs_tokens,
        )
        SELECTOR_NAMES[name] = (shown, short or shown)
        return function

    return decorate


def get_selector(name: str) -> Selector:
    """Look a selector up.

    Raises
    ------
    SelectionError
        Names the known ones.
    """
    if name not in SELECTORS:
        hint = nearest(name, SELECTORS)
        raise SelectionError(f"no selector {name!r}{hint}; known: {', '.join(SELECTORS)}")
    return SELECTORS[name]


def select(
    statistics: ChannelStatistics, k: int, selector: str = "variance", *, seed: int = 0
) -> Selection:
    """Select ``k`` neurons (or dimensions) of one hook point.

    Parameters
    ----------
    statistics : ChannelStatistics
        Of the normal patch tokens at the point.
    k : int
        How many; ignored by ``"all"``.
    selector : str
        A registered name.
    seed : int
        Seed of the random selectors, 0 or more. Draws at different hook points are independent.

    Returns
    -------
    NeuronSelection or SubspaceSelection

    Raises
    ------
    SelectionError
        If ``k`` is not between 1 and the number of channels, the selector is unknown, or the seed
        is negative.
    """
    check_k(selector, k, statistics.n_channels, statistics.point)
    if seed < 0:
        raise SelectionError(f"the seed must be 0 or more, not {seed}")
    # The point takes part, or one seed would draw the same channels at every layer of a tower.
    generator = np.random.default_rng([seed, zlib.crc32(statistics.point.encode())])
    return get_selector(selector).select(statistics, k, generator)


def check_k(selector: str, k: int, n_channels: int, point: str) -> None:
    """Refuse a ``k`` that a selector cannot serve at a hook point.

    Raises
    ------
    SelectionError
        If ``k`` is not between 1 and the number of channels, or the selector is unknown.
    """
    if get_selector(selector).uses_k and not 1 <= k <= n_channels:
        raise SelectionError(
            f"{point} has {n_channels} channels, so k must be between 1 and {n_channels}, not {k}"
        )


def _neurons(
    statistics: ChannelStatistics, channels: np.ndarray, selector: str, **provenance: Any
) -> NeuronSelection:
    channels = np.asarray(channels, dtype=np.int64)
    return NeuronSelection(
        point=statistics.point,
        channels=channels,
        scores=statistics.variance[channels],
        n_channels=statistics.n_channels,
        selector=selector,
        provenance={"n_tokens": statistics.count, **provenance},
    )


def variance_order(statistics: ChannelStatistics) -> np.ndarray:
    """Channels by descending variance; equal variances keep the order of their index."""
    return np.argsort(-statistics.variance, kind="stable")


@register_selector("variance", label="top-variance neurons", short="top variance")
def variance(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> NeuronSelection:
    """The k channels of highest marginal variance (LAKE)."""
    return _neurons(statistics, variance_order(statistics)[:k], "variance")


@register_selector("random", label="random neurons", short="random", is_random=True)
def random(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> NeuronSelection:
    """K channels drawn uniformly without replacement."""
    return _neurons(statistics, generator.permutation(statistics.n_channels)[:k], "random")


@register_selector(
    "variance_matched",
    label="variance-matched random neurons",
    short="variance-matched",
    is_random=True,
)
def variance_matched(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> NeuronSelection:
    """K other channels, each near in log variance to one of the top k.

    The top ``k`` are walked in random order; each takes one at random of the five unused channels
    outside the top ``k`` whose log variance is nearest. Where fewer than ``k`` channels lie
    outside, the rest is filled from the top ``k`` at random. No other channel
    can have the variance of the very top ones, so the match is never perfect: ``provenance`` says
    how far off it is.
    """
    order = variance_order(statistics)
    top, free = order[:k], list(order[k:])
    log_variance = np.log(np.maximum(statistics.variance, np.finfo(float).tiny))
    pairs: list[tuple[int, int]] = []
    for target in generator.permutation(top)[: len(free)]:
        distance = np.abs(log_variance[free] - log_variance[target])
        near = np.argsort(distance, kind="stable")[:5]
        pairs.append((target, free.pop(int(generator.choice(near)))))
    fill = generator.permutation(top)[: k - len(pairs)]
    channels = np.array([*(match for _, match in pairs), *fill], dtype=np.int64)
    gap = [log_variance[match] - log_variance[target] for target, match in pairs]
    return _neurons(
        statistics,
        channels,
        "variance_matched",
        overlap_with_top_k=len(fill),
        mean_log_variance_gap=float(np.mean(gap)) if gap else 0.0,
    )


@register_selector("bottom_variance", label="lowest-variance neurons", short="lowest variance")
def bottom_variance(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> NeuronSelection:
    """The k channels of lowest marginal variance."""
    return _neurons(statistics, variance_order(statistics)[::-1][:k], "bottom_variance")


@register_selector("all", label="all neurons", short="all", uses_k=False)
def all_channels(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> NeuronSelection:
    """Every channel, whatever k is."""
    return _neurons(statistics, np.arange(statistics.n_channels), "all")


@register_selector("pca", label="truncated PCA", short="PCA", needs_covariance=True)
def pca(statistics: ChannelStatistics, k: int, generator: np.random.Generator) -> SubspaceSelection:
    """The k leading principal directions of the patch tokens (truncated PCA)."""
    values, vectors = np.linalg.eigh(statistics.covariance)
    basis, scores = vectors[:, ::-1][:, :k], values[::-1][:k]
    # The sign of an eigenvector is arbitrary: make its largest entry positive, for reproducibility.
    largest = np.abs(basis).argmax(0)
    basis = basis * np.sign(basis[largest, np.arange(k)])
    scores, total = np.maximum(scores, 0.0), values.sum()
    return SubspaceSelection(
        statistics.point,
        np.ascontiguousarray(basis),
        scores,
        "pca",
        {
            "n_tokens": statistics.count,
            "retained_variance": float(scores.sum() / total) if total > 0 else 1.0,
        },
    )


@register_selector("random_rotation", is_random=True)
def random_rotation(
    statistics: ChannelStatistics, k: int, generator: np.random.Generator
) -> SubspaceSelection:
    """A uniformly random k-dimensional subspace (Haar, by QR of a Gaussian matrix)."""
    gaussian = generator.standard_normal((statistics.n_channels, k))
    basis, upper = np.linalg.qr(gaussian)
    basis = basis * np.sign(np.diag(upper))
    if statistics.comoment is None:
        scores = np.full(k, np.nan)
    else:
        scores = np.einsum("ck,cd,dk->k", basis, statistics.covariance, basis)
    return SubspaceSelection(
        statistics.point, basis, scores, "random_rotation", {"n_tokens": statistics.count}
    )


@register_selector("mad", label="median absolute deviation", short="MAD", needs_tokens=True)
def mad(statistics: ChannelStatistics, k: int, generator: np.random.Generator) -> NeuronSelection:
    """The k channels of highest (1.4826 x median absolute deviation)^2 (robust variance).

    The factor makes it the variance where the tokens are normally distributed (Rousseeuw and Croux,
    "Alternatives to the Median Absolute Deviation", JASA 1993). Up to half of the tokens may be
    moved without the estimate leaving all bounds.
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
    return NeuronSelection(
        point=statistics.point,
        channels=channels.astype(np.int64),
        scores=scores[channels],
        n_channels=statistics.n_channels,
        selector=selector,
        provenance={"n_tokens": statistics.count},
    )
