"""Outlier report: how much of the variance one channel holds, and where massive tokens lie.

A selection by variance may be the work of a single channel with massive activations in a few tokens
(:mod:`lakeviz.activations.massive`). The report says so for each hook point. :class:`OutlierWatch`
collects it while the normal tokens of a fit stream by; :func:`outlier_report` takes tokens at hand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from lakeviz.activations.massive import massive_activations
from lakeviz.activations.statistics import ChannelStatistics
from lakeviz.errors import ConfigError
from lakeviz.lake.dropping import WARN_SHARE

_POSITIONS = 8  # named at most

Batch = Mapping[str, Float[Tensor, "image token channel"]]


@dataclass(frozen=True)
class PointOutliers:
    """Outliers of one hook point, over the normal patch tokens.

    Attributes
    ----------
    point : str
    n_tokens, n_channels : int
    channel, sd, share
        The channel of highest variance, its standard deviation, and its share of the sum of the
        variances of all channels (without dropped ones).
    second_channel, second_sd, second_share
        The same of the next channel.
    participation_ratio : float
        ``(sum v)^2 / sum v^2`` of the variances v: how many channels share the variance, between 1
        and their number.
    kurtosis : float
        Excess kurtosis of the first channel over the same tokens, 0 for a normal distribution; NaN
        where it is constant.
    massive_share : float
        Share of tokens with a massive activation.
    massive_channel, massive_value
        The channel most of them lie in and their median value there; -1 and NaN where there are
        none.
    border_share, grid_border_share : float
        Share of the massive tokens that lie on the border of the patch grid, and that of the grid.
    fixed_share : float
        Share of the massive tokens at grid positions that are massive in every image.
    row, column : float
        Their mean position, 0 at the top left and 1 at the bottom right.
    positions : str
        The (row, column) of those that are massive in every image, the first few of them.
    """

    point: str
    n_tokens: int
    n_channels: int
    channel: int
    sd: float
    share: float
    second_channel: int
    second_sd: float
    second_share: float
    participation_ratio: float
    kurtosis: float = math.nan
    massive_share: float = math.nan
    massive_channel: int = -1
    massive_value: float = math.nan
    border_share: float = math.nan
    grid_border_share: float = math.nan
    fixed_share: float = math.nan
    row: float = math.nan
    column: float = math.nan
    positions: str = ""

    @property
    def dominated(self) -> bool:
        """Whether one channel holds more than half of the variance."""
        return self.share > WARN_SHARE

    def sentence(self) -> str:
        """Say the report in words."""
        said = (
            f"{self.point}: channel {self.channel} holds {_percent(self.share)} of the variance "
            f"(sd {self.sd:.3g}; next {self.second_channel}, sd {self.second_sd:.3g}; "
            f"participation ratio {self.participation_ratio:.3g} of {self.n_channels})"
        )
        if not math.isnan(self.kurtosis):
            said += f", excess kurtosis {self.kurtosis:.3g}"
        if math.isnan(self.massive_share):
            return said + "."
        if self.massive_share == 0:
            return said + "; no massive token."
        held = f" ({self.positions})" if self.positions else ""
        return said + (
            f"; {_percent(self.massive_share)} of the tokens are massive (channel "
            f"{self.massive_channel}, median {self.massive_value:.3g}), "
            f"{_percent(self.border_share)} of them on the border of the grid, which is "
            f"{_percent(self.grid_border_share)} of it, and {_percent(self.fixed_share)} at "
            f"positions{held} that are massive in every image."
        )


@dataclass(frozen=True)
class Outliers:
    """Reports of some hook points."""

    points: tuple[PointOutliers, ...] = field(default=())

    def frame(self) -> pd.DataFrame:
        """One row per hook point, one column per attribute of :class:`PointOutliers`."""
        return pd.DataFrame([asdict(one) for one in self.points])

    def to_plain(self) -> list[dict[str, Any]]:
        """Return the rows of :meth:`frame` as JSON types; None where a number is NaN."""
        rows = [asdict(one) for one in self.points]
        return [{n: None if v != v else v for n, v in row.items()} for row in rows]

    def sentence(self) -> str:
        """Say all reports."""
        return " ".join(one.sentence() for one in self.points)

    def warning(self) -> str:
        """Say where one channel holds more than half of the variance; empty where none does."""
        found: dict[int, list[PointOutliers]] = {}
        for one in self.points:
            if one.dominated:
                found.setdefault(one.channel, []).append(one)
        return " ".join(_warning(channel, points) for channel, points in found.items())


def _warning(channel: int, points: list[PointOutliers]) -> str:
    shares = [one.share for one in points]
    low, high = _percent(min(shares)), _percent(max(shares))
    held = high if low == high else f"{low} to {high}"
    where = ", ".join(one.point for one in points)
    return (
        f"One channel, {channel}, holds {held} of the variance at {where}: differences between "
        "selections with and without it may be its work alone (compare variance_without_first, or "
        "drop it with drop_channels)."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:.3g} %"


class OutlierWatch:
    """Collects the outlier report of each hook point while normal tokens pass.

    Of every token it keeps the first channel, and its massive activations: a few numbers.

    Parameters
    ----------
    statistics : mapping of hook point to ChannelStatistics
        Of the tokens that selections are made from; they say which channel is first.
    grids : mapping of hook point to (rows, columns)
        Of the patch tokens.
    """

    def __init__(
        self, statistics: Mapping[str, ChannelStatistics], grids: Mapping[str, tuple[int, int]]
    ):
        self._statistics, self._grids = statistics, grids
        self._order = {point: _order(one) for point, one in statistics.items()}
        self._first: dict[str, list[np.ndarray]] = {point: [] for point in statistics}
        self._massive: dict[str, list[np.ndarray]] = {point: [] for point in statistics}
        self._found: dict[str, list[np.ndarray]] = {point: [] for point in statistics}

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """Hand batches of tokens on as they are, and look at them."""
        for batch in batches:
            self.update(batch)
            yield batch

    def update(self, batch: Batch) -> None:
        """Look at the tokens of some images."""
        for point, order in self._order.items():
            tokens = batch[point].detach()
            massive = massive_activations(tokens)
            at = massive.nonzero()
            values = torch.column_stack((at[:, -1], tokens[massive])).double()
            self._first[point].append(tokens[..., int(order[0])].double().cpu().numpy())
            self._massive[point].append(massive.any(-1).cpu().numpy())
            self._found[point].append(values.cpu().numpy())

    def report(self) -> Outliers:
        """Report on all tokens that passed."""
        return Outliers(tuple(self._of(point) for point in self._order))

    def _of(self, point: str) -> PointOutliers:
        statistics, order = self._statistics[point], self._order[point]
        massive, values = np.concatenate(self._massive[point]), np.concatenate(self._found[point])
        first = np.concatenate(self._first[point])
        if statistics.count < massive.size:  # the statistics left the massive tokens out
            first = first[~massive]
        return PointOutliers(
            **_of_variance(statistics, order),
            kurtosis=_excess_kurtosis(first.ravel()),
            massive_share=float(massive.mean()),
            **_place(massive, self._grids[point]),
            **_of_values(values),
        )


def outlier_report(
    statistics: Mapping[str, ChannelStatistics],
    tokens: Batch | None = None,
    grids: Mapping[str, tuple[int, int]] | None = None,
) -> Outliers:
    """Report on the outliers of each hook point.

    Parameters
    ----------
    statistics : mapping of hook point to ChannelStatistics
    tokens : mapping of hook point to Tensor [image, token, channel], optional
        The normal patch tokens; without them kurtosis and massive tokens are left out.
    grids : mapping of hook point to (rows, columns), optional
        Needed with ``tokens``.

    Raises
    ------
    ConfigError
        If there are tokens and no grids.
    """
    if tokens is None:
        return Outliers(
            tuple(PointOutliers(**_of_variance(s, _order(s))) for s in statistics.values())
        )
    if grids is None:
        raise ConfigError("an outlier report of tokens needs the patch grid of each hook point")
    watch = OutlierWatch(statistics, grids)
    watch.update(tokens)
    return watch.report()


def _order(statistics: ChannelStatistics) -> Int[np.ndarray, " channel"]:
    kept = statistics.kept_channels
    return kept[np.argsort(-statistics.variance[kept], kind="stable")]


def _of_variance(
    statistics: ChannelStatistics, order: Int[np.ndarray, " channel"]
) -> dict[str, Any]:
    variance = statistics.variance[order]
    total = float(variance.sum())
    share = variance / total if total > 0 else np.zeros_like(variance)
    two = len(order) > 1
    square = float((share**2).sum())
    return {
        "point": statistics.point,
        "n_tokens": statistics.count,
        "n_channels": len(order),
        "channel": int(order[0]),
        "sd": float(np.sqrt(variance[0])),
        "share": float(share[0]),
        "second_channel": int(order[1]) if two else -1,
        "second_sd": float(np.sqrt(variance[1])) if two else math.nan,
        "second_share": float(share[1]) if two else math.nan,
        "participation_ratio": 1 / square if square > 0 else math.nan,
    }


def _excess_kurtosis(values: Float[np.ndarray, " token"]) -> float:
    deviation = values - values.mean()
    variance = float((deviation**2).mean())
    return float((deviation**4).mean()) / variance**2 - 3 if variance > 0 else math.nan


def _place(massive: Bool[np.ndarray, "image token"], grid: tuple[int, int]) -> dict[str, Any]:
    """Where the massive tokens lie on the grid."""
    rows, columns = grid
    row, column = np.divmod(np.arange(rows * columns), columns)
    border = (row == 0) | (row == rows - 1) | (column == 0) | (column == columns - 1)
    found: dict[str, Any] = {"grid_border_share": float(border.mean())}
    n = massive.sum(axis=0)  # of each position, over images
    if not n.any():
        return found
    fixed = np.flatnonzero(n == len(massive))
    named = [f"{at // columns},{at % columns}" for at in fixed[:_POSITIONS].tolist()]
    return found | {
        "positions": " ".join(named) + (" ..." if len(fixed) > _POSITIONS else ""),
        "border_share": float(n[border].sum() / n.sum()),
        "fixed_share": float(n[fixed].sum() / n.sum()),
        "row": float((n * row).sum() / n.sum() / max(rows - 1, 1)),
        "column": float((n * column).sum() / n.sum() / max(columns - 1, 1)),
    }


def _of_values(values: Float[np.ndarray, "activation 2"]) -> dict[str, Any]:
    """Channel that most massive activations lie in, and their median value there."""
    if not len(values):
        return {}
    channels, counts = np.unique(values[:, 0].astype(np.int64), return_counts=True)
    channel = int(channels[counts.argmax()])
    own = values[values[:, 0] == channel, 1]
    return {"massive_channel": channel, "massive_value": float(np.median(own))}
