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
from lakeviz.studies.patching.words import DEFECTS, EXCHANGES, TWIN_DIFFERENCE, units_name

Moved = dict[str, Float[np.ndarray, "draw member pair"]]
"""By read-out, what every set of every draw moves in every pair."""

Edit = Callable[[str, Chosen], Float[Tensor, "pair token channel"]]
"""From a direction and units to the tokens that are put in place."""


@dataclass
class UnitSets:
    """Sets of units of one size at a hook point.

    Parameters
    ----------
    interchange : Interchange
    point : str
    statistics : sequence of ChannelStatistics
        Of the normal patch tokens of each draw, with covariance.
    settings : Settings
    k : int
        Number of units, unless they are named.

    Attributes
    ----------
    notes : list of str
        What could not be made, and why.
    """

    interchange: Interchange
    point: str
    statistics: Sequence[ChannelStatistics]
    settings: Settings
    k: int
    notes: list[str] = field(default_factory=list)
    _found: dict[tuple, Values] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.k = min(self.k, self.statistics[0].n_channels)

    @property
    def names(self) -> list[str]:
        """The units in question, then the controls that can be made."""
        wanted = dict.fromkeys((self.settings.selector, *self.settings.controls))
        chosen = [name for name in wanted if name != TWIN_DIFFERENCE]
        made, missing = attempted(chosen, self.members)
        if self.settings.selector in missing:
            self.members(self.settings.selector)  # raises the reason
        for name, reason in missing.items():
            note = f"no {units_name(name)}: {reason}"
            if note not in self.notes:
                self.notes.append(note)
        return [name for name in wanted if name in made or name == TWIN_DIFFERENCE]

    def members(self, name: str) -> list[list[Selection]]:
        """Sets of a selector on each draw; several where it is random.

        Raises
        ------
        SelectionError
            If the selector cannot serve.
        """
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
        return self.k if name == TWIN_DIFFERENCE else self.members(name)[0][0].k

    @property
    def full(self) -> Values:
        """Difference of the two sides of each pair, by read-out."""
        return self.interchange.full

    def moved(self, name: str, direction: str, edit: Edit | None = None, key: object = "") -> Moved:
        """What exchanging the sets of a selector moves.

        ``edit`` makes other tokens than an exchange does; ``key`` tells its results apart.
        """
        if name == TWIN_DIFFERENCE:
            return self._of_other_pairs(direction, edit)
        return by_member(
            [[self._one(direction, one, edit, key) for one in own] for own in self.members(name)]
        )

    def _one(self, direction: str, units: Chosen, edit: Edit | None, key: object) -> Values:
        which = (
            units.channels.tobytes()
            if isinstance(units, NeuronSelection)
            else units.basis.tobytes()  # type: ignore[union-attr]
        )
        place = (direction, key, which)
        step(of=EXCHANGES)
        if place not in self._found:
            tokens = (edit or self.exchange)(direction, units)
            found = self.interchange.run(self.point, tokens, direction)
            self._found[place] = self.interchange.moved(found, direction)
        return self._found[place]

    def exchange(self, direction: str, units: Chosen) -> Tensor:
        """Tokens of one side with those units of the other."""
        return self.interchange.exchanged(self.point, direction, self.settings.tokens, units)

    def _of_other_pairs(self, direction: str, edit: Edit | None) -> Moved:
        """Each half of the pairs with the units that differ most on the other half."""
        n = len(self.interchange.pairs)
        halves = [list(range(start, n, 2)) for start in (0, 1)]
        parts = {}
        for own, other in (halves, halves[::-1]):
            step(of=EXCHANGES)
            units = self.largest_difference(other)
            tokens = (edit or self.exchange)(direction, units)[own]
            found = self.interchange.run(self.point, tokens, direction, own)
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


def by_member(found: Sequence[Sequence[Values]]) -> Moved:
    """Join what was moved by each member of each draw, read by the detector of that draw."""
    return {
        readout: np.stack(
            [np.stack([one[readout][d] for one in own]) for d, own in enumerate(found)]
        )
        for readout in found[0][0]
    }
