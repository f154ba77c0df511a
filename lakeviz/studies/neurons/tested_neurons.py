"""Which neurons are tested: the selected ones, and random others beside them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from lakeviz.errors import SelectionError
from lakeviz.lake import NeuronSelection
from lakeviz.studies.base.captured import StudyData


@dataclass(frozen=True)
class Choice:
    """Neurons under test at one hook point.

    Attributes
    ----------
    point : str
    selected : int array [k]
        In the selector's order.
    random : int array [n]
        Drawn without replacement from the channels that are not selected.
    variance : float array [channel]
        Of all channels, over the normal patch tokens.
    """

    point: str
    selected: Int[np.ndarray, " k"]
    random: Int[np.ndarray, " n"]
    variance: Float[np.ndarray, " channel"]

    @property
    def tested(self) -> Int[np.ndarray, " neuron"]:
        """Selected neurons, then random ones."""
        return np.concatenate([self.selected, self.random])

    def rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield the number of each tested neuron and the columns of a table that name it."""
        for number, channel in enumerate(self.tested.tolist()):
            group = "selected" if number < len(self.selected) else "random"
            yield number, {"point": self.point, "channel": channel, "group": group}

    def frame(self, channels: Int[np.ndarray, " some"]) -> pd.DataFrame:
        """Point, channel, group, variance and its rank (1 = highest)."""
        rank = np.empty(len(self.variance), dtype=np.int64)
        rank[np.argsort(-self.variance, kind="stable")] = np.arange(1, len(rank) + 1)
        group = np.full(len(self.variance), "other", dtype=object)
        group[self.random], group[self.selected] = "random", "selected"
        return pd.DataFrame(
            {
                "point": self.point,
                "channel": channels,
                "group": group[channels],
                "variance": self.variance[channels],
                "variance_rank": rank[channels],
            }
        )


def choose(
    data: StudyData, k: int, selector: str, n_random: int | None, seed: int
) -> dict[str, Choice]:
    """Choose neurons at every hook point; as many random as selected ones by default."""
    if n_random is not None and n_random < 1:
        raise SelectionError(
            f"n_random must be at least 1, not {n_random}: selected neurons are shown beside "
            "random ones"
        )
    chosen = {}
    for point, selection in data.select(k, selector, seed).items():
        if not isinstance(selection, NeuronSelection):
            raise SelectionError(
                f"selector {selector!r} gives a subspace, which has no single neurons; choose one "
                "that gives channels, such as variance"
            )
        rest = np.setdiff1d(np.arange(selection.n_channels), selection.channels)
        # The point takes part, or one seed would draw the same channels at every layer.
        generator = np.random.default_rng([seed, 1, zlib.crc32(point.encode())])
        wanted = selection.k if n_random is None else n_random
        random = generator.permutation(rest)[:wanted]
        variance = data.statistics[point].variance
        chosen[point] = Choice(point, np.asarray(selection.channels), random, variance)
    return chosen
