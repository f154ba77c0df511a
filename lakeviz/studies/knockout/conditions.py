"""Which neurons a knock-out study takes out: by variance, and the controls of the same size."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lakeviz.activations import ChannelStatistics
from lakeviz.errors import ConfigError, SelectionError
from lakeviz.lake import NeuronSelection, select
from lakeviz.lake.selectors import get_selector
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.knockout.ablation import Ablation, Condition, Engine

MODES: tuple[str, ...] = ("remove", "keep")
VARIANCE = "variance"
DEFAULT_CONTROLS: tuple[str, ...] = ("random", "bottom_variance", "variance_matched")
_N_SIZES, _NEAR = 7, 1.4


@dataclass(frozen=True)
class Neurons:
    """The neurons of an engine that can be knocked out, with their statistics.

    Attributes
    ----------
    engine : Engine
    statistics : dict of hook point to ChannelStatistics
        Of the candidates alone, over the normal patch tokens.
    choices : dict
        ``tokens`` and ``reference`` of every ablation.
    """

    engine: Engine
    statistics: Mapping[str, ChannelStatistics]
    choices: Mapping[str, str]

    @classmethod
    def of(cls, engine: Engine, data: StudyData, choices: Mapping[str, str]) -> Neurons:
        """Take the candidates of an engine."""
        known: Mapping[str, ChannelStatistics] = getattr(engine, "statistics", data.statistics)
        found = {p: _part(known[p], engine.candidates(p)) for p in engine.points}
        return cls(engine, found, dict(choices))

    @property
    def n_candidates(self) -> int:
        """Fewest candidates of any hook point."""
        return min(s.n_channels for s in self.statistics.values())

    def variance(self, point: str, neurons: Sequence[int] | np.ndarray) -> np.ndarray:
        """Variance of some neurons over the normal patch tokens."""
        places = np.searchsorted(self.engine.candidates(point), neurons)
        return self.statistics[point].variance[places]

    def ordered(self, point: str) -> np.ndarray:
        """Candidates of a point by falling variance."""
        chosen = self._select(point, self.statistics[point].n_channels, VARIANCE, 0)
        return self._named(point, chosen)

    def sets(self, size: int, selector: str, seed: int) -> dict[str, NeuronSelection]:
        """Choose ``size`` candidates of each hook point; channels count among the candidates."""
        return {p: self._select(p, size, selector, seed) for p in self.engine.points}

    def condition(self, sets: Mapping[str, NeuronSelection], mode: str) -> Condition:
        """Knock the sets out, or everything but them."""
        found = []
        for point, selection in sets.items():
            chosen = self._named(point, selection)
            if mode == "keep":
                chosen = np.setdiff1d(self.engine.candidates(point), chosen)
            if chosen.size:
                found.append(self.ablation(point, chosen))
        return tuple(found)

    def ablation(self, point: str, neurons: Sequence[int] | np.ndarray) -> Ablation:
        """Ablation of some neurons in this engine's manner."""
        return Ablation(point, tuple(int(n) for n in neurons), self.engine.kind, **self.choices)

    def _select(self, point: str, size: int, selector: str, seed: int) -> NeuronSelection:
        found = select(self.statistics[point], size, selector, seed=seed)
        if not isinstance(found, NeuronSelection):
            raise SelectionError(f"{selector} chooses no neurons that could be knocked out")
        return found

    def _named(self, point: str, selection: NeuronSelection) -> np.ndarray:
        return self.engine.candidates(point)[selection.channels]


def _part(statistics: ChannelStatistics, channels: np.ndarray) -> ChannelStatistics:
    """Statistics of some of the channels, in their order."""
    of = statistics
    return ChannelStatistics(
        of.point,
        False,
        of.count,
        of.mean[channels],
        of.m2[channels],
        of.minimum[channels],
        of.maximum[channels],
    )


def check_sizes(sizes: Sequence[int] | None, n_candidates: int, k: int) -> tuple[int, ...]:
    """Sizes in rising order, or the default: geometric, up to all candidates, with ``k`` among.

    Raises
    ------
    SelectionError
        If a size is not between 1 and the number of candidates.
    """
    if sizes is None:
        spread = np.geomspace(1, n_candidates, _N_SIZES).round().astype(int).tolist()
        k = min(k, n_candidates)
        ends = (1, n_candidates)
        apart = [s for s in spread if s in ends or not k / _NEAR < s < k * _NEAR]
        return tuple(sorted({*apart, k}))
    for size in sizes:
        if not 1 <= size <= n_candidates:
            raise SelectionError(
                f"{n_candidates} neurons can be knocked out at each hook point, so a size must be "
                f"between 1 and {n_candidates}, not {size}"
            )
    if not sizes:
        raise SelectionError("no size of a knock-out was given")
    return tuple(sorted(set(int(size) for size in sizes)))


def check_controls(controls: Sequence[str], n_draws: int) -> tuple[str, ...]:
    """Refuse controls that are no other neurons of the same size.

    Raises
    ------
    ConfigError, SelectionError
    """
    if n_draws < 1:
        raise ConfigError(f"a random control needs 1 draw or more, not {n_draws}")
    for name in controls:
        selector = get_selector(name)
        if not selector.uses_k or name == VARIANCE:
            raise SelectionError(f"{name} is no control of a knock-out of the same size")
    return tuple(dict.fromkeys(controls))


def seeds_of(order: str, n_draws: int, seed: int) -> list[int]:
    """Seeds of the members of an order: one, or ``n_draws`` where it is random.

    They depend on the order's name, so that two random controls are drawn independently.
    """
    if not get_selector(order).is_random:
        return [seed]
    generator = np.random.default_rng([seed, zlib.crc32(order.encode())])
    return generator.integers(2**31, size=n_draws).tolist()


def overlap_note(order: str, sets: Sequence[Mapping[str, NeuronSelection]], size: int) -> str:
    """Say where a variance-matched control had to take some of the top neurons themselves."""
    if order != "variance_matched":
        return ""
    shared = max(
        int(selection.provenance["overlap_with_top_k"])
        for chosen in sets
        for selection in chosen.values()
    )
    if not shared:
        return ""
    return (
        f"{shared} of the {size} neurons of this control are among the top {size} themselves: too "
        "few others are left to match with"
    )
