"""Sets of units at one hook point, and what exchanging each of them moves."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import ChannelStatistics
from lakeviz.lake.selection import NeuronSelection, Selection
from lakeviz.lake.selectors import get_selector, select
from lakeviz.progress import step
from lakeviz.studies.base.draws import attempted
from lakeviz.studies.patching.interchange import Chosen, Interchange
from lakeviz.studies.patching.readouts import Values
from lakeviz.studies.patching.result import Settings
from lakeviz.studies.patching.words import (
    DEFECT,
    DEFECTS,
    DENOISING,
    EXCHANGES,
    GREEDY,
    OF_PAIRS,
    ORACLE,
    TWIN_DIFFERENCE,
    units_name,
)

Moved = dict[str, Float[np.ndarray, "draw member pair"]]
"""By read-out, what every set of every draw moves in every pair."""

_CANDIDATES = 16

Edit = Callable[[str, Chosen], Float[Tensor, "pair token channel"]]
"""From a direction and units to the tokens that are put in place."""


@dataclass
class UnitSets:
    """Sets of ``k`` units (unless they are named) at a hook point.

    ``statistics`` are of the normal patch tokens of each draw, with covariance. With
    ``defects_alone`` only the score of the defect patches is read, which is faster. ``notes`` say
    what could not be made, and why.
    """

    interchange: Interchange
    point: str
    statistics: Sequence[ChannelStatistics]
    settings: Settings
    k: int
    defects_alone: bool = False
    notes: list[str] = field(default_factory=list)
    _found: dict[tuple, Values] = field(default_factory=dict, repr=False)
    _of_pairs: dict[tuple, Moved] = field(default_factory=dict, repr=False)
    _orders: dict[tuple, np.ndarray] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.k = min(self.k, self.statistics[0].n_channels)

    @property
    def names(self) -> list[str]:
        """The units in question, then the controls that can be made."""
        wanted = dict.fromkeys((self.settings.selector, *self.settings.controls))
        chosen = [name for name in wanted if name not in OF_PAIRS]
        made, missing = attempted(chosen, self.members)
        if self.settings.selector in missing:
            self.members(self.settings.selector)  # raises the reason
        for name, reason in missing.items():
            note = f"no {units_name(name)}: {reason}"
            if note not in self.notes:
                self.notes.append(note)
        return [name for name in wanted if name in made or name in OF_PAIRS]

    def members(self, name: str) -> list[list[Selection]]:
        """Sets of a selector on each draw; several where it is random."""
        seeds = [self.settings.seed]
        if get_selector(name).is_random:
            random = np.random.default_rng([self.settings.seed, zlib.crc32(name.encode())])
            seeds = random.integers(2**31, size=self.settings.n_random_sets).tolist()
        return [[select(own, self.k, name, seed=seed) for seed in seeds] for own in self.statistics]

    def of_size(self, k: int) -> UnitSets:
        """The same with another number of units; results are shared."""
        return replace(self, k=k)

    def n_units(self, name: str) -> int:
        """Number of units of the sets of a selector."""
        return self.k if name in OF_PAIRS else self.members(name)[0][0].k

    @property
    def full(self) -> Values:
        """Difference of the two sides of each pair, by read-out."""
        return self.interchange.full

    def moved(self, name: str, direction: str, edit: Edit | None = None, key: object = "") -> Moved:
        """What exchanging the sets of a selector moves.

        ``edit`` makes other tokens than an exchange does; ``key`` tells its results apart.
        """
        if name == ORACLE:
            units = self.one_by_one(range(len(self.interchange.pairs)))
            every = range(len(self.statistics))
            found = self._one(direction, units, edit, key, every)
            return by_member([[found] for _ in every])
        if name in OF_PAIRS:
            step(2, of=EXCHANGES)
            place = (name, direction, key, self.k, self.defects_alone)
            if place not in self._of_pairs:
                choose = self.one_by_one if name == GREEDY else self.largest_difference
                self._of_pairs[place] = self._of_other_pairs(direction, edit, choose)
            return self._of_pairs[place]
        members = self.members(name)
        draws: dict[bytes, list[int]] = {}  # on which each set is asked for, and read
        for draw, own in enumerate(members):
            for one in own:
                draws.setdefault(_content(one), []).append(draw)
        return by_member(
            [
                [self._one(direction, one, edit, key, draws[_content(one)]) for one in own]
                for own in members
            ]
        )

    def _one(
        self, direction: str, units: Selection, edit: Edit | None, key: object, draws: Sequence[int]
    ) -> Values:
        step(of=EXCHANGES)
        place = (direction, key, _content(units), tuple(draws), self.defects_alone)
        if place not in self._found:
            tokens = (edit or self.exchange)(direction, units)
            found = self._run(tokens, direction, None, draws)
            self._found[place] = self.interchange.moved(found, direction)
        return self._found[place]

    def _run(
        self,
        tokens: Tensor,
        direction: str,
        rows: Sequence[int] | None,
        draws: Sequence[int] | None = None,
    ) -> Values:
        alone = self.defects_alone
        made = self.interchange
        return made.run(self.point, tokens, direction, rows, draws, defects_alone=alone)

    def exchange(self, direction: str, units: Chosen) -> Tensor:
        """Tokens of one side with those units of the other."""
        return self.interchange.exchanged(self.point, direction, self.settings.tokens, units)

    def _of_other_pairs(
        self, direction: str, edit: Edit | None, choose: Callable[[Sequence[int]], NeuronSelection]
    ) -> Moved:
        """Each half of the pairs with the units that are chosen on the other half."""
        n = len(self.interchange.pairs)
        halves = [list(range(start, n, 2)) for start in (0, 1)]
        parts = {}
        for own, other in (halves, halves[::-1]):
            units = choose(other)
            tokens = (edit or self.exchange)(direction, units)[own]
            found = self._run(tokens, direction, own)
            for readout, moved in self.interchange.moved(found, direction, own).items():
                whole = parts.setdefault(readout, np.zeros((len(moved), 1, n)))
                whole[:, 0, own] = moved
        return parts

    def largest_difference(self, rows: Sequence[int] | slice) -> NeuronSelection:
        """Units that differ most between the sides of some pairs, in their defect patches."""
        defect, twin = self.interchange.encoded(self.point)
        chosen = self.interchange.group(DEFECTS, self.point)[rows]
        apart = (defect[rows] - twin[rows]).double().square()[chosen].mean(0)
        order = torch.argsort(apart, descending=True, stable=True)[: self.k].numpy()
        return NeuronSelection(self.point, order, apart.numpy()[order], len(apart), TWIN_DIFFERENCE)

    def one_by_one(self, rows: Sequence[int]) -> NeuronSelection:
        """Units chosen one after the other, each for what the set moves of some pairs with it.

        Candidates are the units that differ most; the next ones by difference follow when
        ``settings.greedy`` are chosen.
        """
        place = (GREEDY, tuple(rows))
        if place not in self._orders:
            self._orders[place] = self._forward(rows)
        order = self._orders[place][: self.k]
        scores = np.arange(len(order), 0, -1.0)
        return NeuronSelection(self.point, order, scores, self.statistics[0].n_channels, GREEDY)

    def _forward(self, rows: Sequence[int]) -> np.ndarray:
        n = self.statistics[0].n_channels
        by_difference = self.of_size(n).largest_difference(list(rows)).channels
        chosen: list[int] = []
        for _ in range(min(self.settings.greedy, n)):
            left = [c for c in by_difference[:_CANDIDATES].tolist() if c not in chosen]
            if not left:
                break
            chosen.append(max(left, key=lambda one: self._gain([*chosen, one], rows)))
        rest = by_difference[~np.isin(by_difference, chosen)]
        return np.concatenate([np.array(chosen, dtype=by_difference.dtype), rest])

    def n_gains(self) -> int:
        """Sets that are tried until the units of one order are chosen."""
        n = self.statistics[0].n_channels
        return sum(range(min(_CANDIDATES, n), 0, -1)[: self.settings.greedy])

    def _gain(self, channels: Sequence[int], rows: Sequence[int]) -> float:
        step(of=EXCHANGES)
        own, n = np.array(channels), self.statistics[0].n_channels
        units = NeuronSelection(self.point, own, np.zeros(len(own)), n, GREEDY)
        tokens = self.exchange(DENOISING, units)[list(rows)]
        found = replace(self, defects_alone=True)._run(tokens, DENOISING, list(rows))
        return float(self.interchange.moved(found, DENOISING, list(rows))[DEFECT].sum())


def _content(units: Selection) -> bytes:
    return (units.channels if isinstance(units, NeuronSelection) else units.basis).tobytes()


def by_member(found: Sequence[Sequence[Values]]) -> Moved:
    """Join what was moved by each member of each draw, read by the detector of that draw."""
    return {
        readout: np.stack(
            [np.stack([one[readout][d] for one in own]) for d, own in enumerate(found)]
        )
        for readout in found[0][0]
    }
