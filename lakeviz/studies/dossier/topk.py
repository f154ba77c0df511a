"""Patches kept while tokens stream by: the highest of each neuron, and a sample of all.

Whatever the batches and their order, the same patches are kept: a patch is named by its number in
the whole set, ties go to the lower number, and the sample is decided by a hash of that number.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from lakeviz.errors import ConfigError

Values = Float[np.ndarray, "patch neuron"]
Extras = Mapping[str, Values]


@dataclass
class TopPatches:
    """The ``k`` patches of highest activation of each neuron, highest first.

    Memory depends on ``k`` and the number of neurons alone. Where there are fewer patches than
    ``k``, all are kept.

    Attributes
    ----------
    k : int
    largest : bool
        False keeps the lowest, lowest first.
    value : float array [neuron, kept]
    patch : int array [neuron, kept]
        Numbers of the patches in the whole set.
    extras : dict of float arrays [neuron, kept]
        What else came with them.
    """

    k: int
    largest: bool = True
    value: Float[np.ndarray, "neuron kept"] = field(default_factory=lambda: np.empty((0, 0)))
    patch: Int[np.ndarray, "neuron kept"] = field(default_factory=lambda: np.empty((0, 0), int))
    extras: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ConfigError(f"at least 1 patch must be kept of each neuron, not {self.k}")

    def update(
        self, values: Values, patches: Int[np.ndarray, " patch"], extras: Extras | None = None
    ) -> TopPatches:
        """Take more patches in; none may come twice."""
        extras = extras or {}
        found = self._best(values, patches)
        value, patch = np.take_along_axis(values, found, 0).T, patches[found].T
        more = {name: np.take_along_axis(own, found, 0).T for name, own in extras.items()}
        if self.value.size:
            value = np.concatenate([self.value, value], axis=1)
            patch = np.concatenate([self.patch, patch], axis=1)
            more = {n: np.concatenate([self.extras[n], own], axis=1) for n, own in more.items()}
        order = np.lexsort((patch, -value if self.largest else value), axis=1)[:, : self.k]
        self.value, self.patch = (np.take_along_axis(own, order, 1) for own in (value, patch))
        self.extras = {n: np.take_along_axis(own, order, 1) for n, own in more.items()}
        return self

    def _best(self, values: Values, patches: np.ndarray) -> Int[np.ndarray, "kept neuron"]:
        """Positions of the best of a batch."""
        rising = np.argsort(patches, kind="stable")
        signed = -values if self.largest else values
        order = np.argsort(signed[rising], axis=0, kind="stable")
        return rising[order[: self.k]]


@dataclass
class PatchesAtRandom:
    """A uniform sample of patches, the same ones for all neurons.

    A patch is in the sample if the hash of its number is among the ``size`` lowest.

    Attributes
    ----------
    size : int
    seed : int
    patch : int array [kept]
        Numbers of the patches, rising.
    value : float array [kept, neuron]
    extras : dict of float arrays [kept, neuron]
    """

    size: int
    seed: int = 0
    patch: Int[np.ndarray, " kept"] = field(default_factory=lambda: np.empty(0, int))
    value: Float[np.ndarray, "kept neuron"] = field(default_factory=lambda: np.empty((0, 0)))
    extras: dict[str, np.ndarray] = field(default_factory=dict)

    def update(
        self, values: Values, patches: Int[np.ndarray, " patch"], extras: Extras | None = None
    ) -> PatchesAtRandom:
        """Take more patches in; none may come twice."""
        more = dict(extras or {})
        if self.patch.size:
            patches = np.concatenate([self.patch, patches])
            values = np.concatenate([self.value, values])
            more = {n: np.concatenate([self.extras[n], own]) for n, own in more.items()}
        keep = np.lexsort((patches, _hashed(patches, self.seed)))[: self.size]
        keep = keep[np.argsort(patches[keep])]
        self.patch, self.value = patches[keep], values[keep]
        self.extras = {name: own[keep] for name, own in more.items()}
        return self

    def at(self, quantile: float) -> Int[np.ndarray, " neuron"]:
        """Positions in the sample of the patch at a quantile of each neuron's activation."""
        order = np.argsort(self.value, axis=0, kind="stable")
        return order[round(quantile * (len(order) - 1))]


def _hashed(numbers: Int[np.ndarray, " n"], seed: int) -> np.ndarray:
    """SplitMix64 of numbers: Steele, Lea and Flood, OOPSLA 2014."""
    with np.errstate(over="ignore"):
        z = numbers.astype(np.uint64) + np.uint64(seed) * np.uint64(0xD1342543DE82EF95)
        z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
