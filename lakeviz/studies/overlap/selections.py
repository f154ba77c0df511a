"""What is compared: selections, each of one category, data set, layer, number of shots and seed."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from lakeviz.activations import ChannelStatistics, ImageStatistics
from lakeviz.errors import ConfigError, DataError
from lakeviz.lake import NeuronSelection, SubspaceSelection, select

FIELDS = ("dataset", "category", "point", "shots", "seed")
"""What tells items apart."""
ACROSS: dict[str, tuple[str, ...]] = {
    "category": ("dataset", "category"),
    "dataset": ("dataset", "category"),
    "layer": ("point",),
    "shots": ("shots",),
    "seed": ("seed",),
}
"""Which fields vary within a comparison; all others are the same for both sides of a pair."""

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class OverlapItem:
    """Normal images of one category at one hook point, whose selection is compared with others.

    Attributes
    ----------
    dataset, category : str
    pool : ImageStatistics
        Statistics of each image that was captured: those drawn, and others to redraw from.
    images : tuple of int
        Positions in the pool of the images that the neurons are selected from; all by default.
    shots : str
        What was asked for: a number or ``"all"``.
    seed : int
        Of the draw.
    subspace : SubspaceSelection, optional
        The leading principal directions of the same images, for the projection kernel.
    weights_hash : str
        Of the model: channels of other weights are other neurons.

    Raises
    ------
    DataError
        If there is no image, an image is named twice, or one is not in the pool.
    """

    dataset: str
    category: str
    pool: ImageStatistics = field(repr=False)
    images: tuple[int, ...] = ()
    shots: str = "all"
    seed: int = 0
    subspace: SubspaceSelection | None = field(default=None, repr=False)
    weights_hash: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        n = len(self.pool)
        images = self.images or tuple(range(n))
        what = f"{self.dataset}/{self.category}"
        if not images:
            raise DataError(f"{what}: there is no normal image to select from")
        if len(set(images)) != len(images) or min(images) < 0 or max(images) >= n:
            raise DataError(f"{what}: images must be different positions in a pool of {n}")
        # By name, so that what is drawn below does not depend on the order they came in.
        by_name = sorted(images, key=lambda i: self.pool.sample_ids[i])
        object.__setattr__(self, "images", tuple(by_name))

    @property
    def point(self) -> str:
        """Hook point."""
        return self.pool.point

    @property
    def n_images(self) -> int:
        """Number of images that the neurons are selected from."""
        return len(self.images)

    @property
    def key(self) -> Key:
        """Values of :data:`FIELDS`."""
        return tuple(getattr(self, name) for name in FIELDS)

    @cached_property
    def statistics(self) -> ChannelStatistics:
        """Statistics of the tokens of the images."""
        return self.pool.merged(self.images)

    def select(self, k: int) -> NeuronSelection:
        """The ``k`` channels of highest variance.

        Raises
        ------
        SelectionError
            If ``k`` is not between 1 and the number of channels.
        """
        chosen = select(self.statistics, k)
        assert isinstance(chosen, NeuronSelection)
        return chosen

    def generator(self, purpose: str, seed: int) -> np.random.Generator:
        """Stream of this item alone: what is drawn depends on no other item."""
        name = "\t".join(map(str, (*self.key, purpose)))
        return np.random.default_rng([seed, zlib.crc32(name.encode())])

    def resampled(self, n_draws: int, purpose: str, seed: int) -> Float[np.ndarray, "draw channel"]:
        """Variances when as many images are drawn anew, with replacement, from those selected on.

        Raises
        ------
        DataError
            If there are fewer than 2 images.
        """
        n = self.n_images
        if n < 2:
            raise DataError(
                f"{self.dataset}/{self.category}: resampling needs 2 normal images or more, "
                f"and there is {n}"
            )
        drawn = self.generator(purpose, seed).multinomial(n, np.full(n, 1 / n), size=n_draws)
        return self.weighted(drawn, self.images)

    def weighted(
        self, weights: Int[np.ndarray, "draw drawn"], images: Sequence[int]
    ) -> Float[np.ndarray, "draw channel"]:
        """Variances under weights of some images of the pool."""
        full = np.zeros((len(weights), len(self.pool)), dtype=np.int64)
        full[:, list(images)] = weights
        return self.pool.variances(full)


@dataclass(frozen=True)
class Group:
    """Items that are compared with each other, the same in all fields but the varied ones.

    Attributes
    ----------
    fixed : dict of field to value
    varied : tuple of str
    items : tuple of OverlapItem
        Sorted by the varied fields, so that the order they came in does not matter.
    names : tuple of str
        Shortest names that tell the items apart.
    """

    fixed: dict[str, str | int]
    varied: tuple[str, ...]
    items: tuple[OverlapItem, ...]
    names: tuple[str, ...]

    @property
    def n_channels(self) -> int:
        """Number of channels of all items."""
        return self.items[0].pool.n_channels


def make_groups(items: Iterable[OverlapItem], across: str) -> list[Group]:
    """Sort items into groups to be compared.

    Raises
    ------
    ConfigError
        On an unknown comparison, items that are the same twice, items of different models or, in
        one group, of different widths; or where no group has two items.
    """
    items = list(items)
    if across not in ACROSS:
        raise ConfigError(f"overlap is across {', '.join(ACROSS)}, not {across!r}")
    _check_items(items)
    varied = ACROSS[across]
    fixed = tuple(name for name in FIELDS if name not in varied)
    found: dict[Key, list[OverlapItem]] = {}
    for item in items:
        found.setdefault(tuple(getattr(item, f) for f in fixed), []).append(item)
    made = []
    for key in sorted(found, key=_natural):
        members = sorted(found[key], key=lambda i: _natural(i.key))
        _check_widths(members)
        names = _names(members, varied)
        made.append(Group(dict(zip(fixed, key)), varied, tuple(members), names))
    comparable = [g for g in made if _has_pair(g, across)]
    if not comparable:
        raise ConfigError(_nothing_to_compare(items, across))
    return comparable


def pairs_of(group: Group, across: str) -> list[tuple[int, int]]:
    """Positions of the items of each pair: across data sets, only pairs of different ones."""
    n = len(group.items)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    if across != "dataset":
        return pairs
    return [(i, j) for i, j in pairs if group.items[i].dataset != group.items[j].dataset]


def _has_pair(group: Group, across: str) -> bool:
    return bool(pairs_of(group, across))


def _check_items(items: Sequence[OverlapItem]) -> None:
    seen: set[Key] = set()
    for item in items:
        if item.key in seen:
            said = ", ".join(f"{n} {v}" for n, v in zip(FIELDS, item.key))
            raise ConfigError(f"the same item is there twice ({said})")
        seen.add(item.key)
    models = {i.weights_hash: f"{i.dataset}/{i.category}" for i in items if i.weights_hash}
    if len(models) > 1:
        said = " and ".join(f"{where} ({h[:12]})" for h, where in list(models.items())[:2])
        raise ConfigError(
            f"{said} were captured with different weights, whose channels are not the same "
            "neurons; compare items of one model"
        )


def _check_widths(items: Sequence[OverlapItem]) -> None:
    widths = {i.pool.n_channels: i.point for i in items}
    if len(widths) > 1:
        said = " and ".join(f"{point} has {n}" for n, point in list(widths.items())[:2])
        raise ConfigError(
            f"channels can be compared only where there are equally many, and {said}; choose "
            "blocks of one residual stream"
        )


def _names(items: Sequence[OverlapItem], varied: Sequence[str]) -> tuple[str, ...]:
    telling = [n for n in varied if len({getattr(i, n) for i in items}) > 1]
    if "category" in varied and "dataset" in telling:
        telling = ["dataset", "category"]
    telling = telling or [varied[-1]]
    prefix = {"shots": "{} shots", "seed": "seed {}"}

    def name(item: OverlapItem) -> str:
        said = [prefix.get(f, "{}").format(getattr(item, f)) for f in telling]
        return "/".join(dict.fromkeys(said))

    return tuple(name(item) for item in items)


def _natural(key: Key) -> tuple[tuple[int, float, str], ...]:
    """Sort numbers in texts by value: block 2 before block 10, 4 shots before 16."""

    def part(value: str | int) -> tuple[tuple[int, float, str], ...]:
        text = str(value)
        pieces, digits = [], ""
        for letter in text + "\0":
            if letter.isdecimal():
                digits += letter
                continue
            if digits:
                pieces.append((0, float(digits), ""))
                digits = ""
            pieces.append((1, 0.0, letter))
        return tuple(pieces)

    return tuple(p for value in key for p in part(value))


def _nothing_to_compare(items: Sequence[OverlapItem], across: str) -> str:
    if not items:
        return "there is no item to compare"
    fields = ACROSS[across]
    values = sorted({"/".join(str(getattr(i, f)) for f in fields) for i in items})
    add = {
        "category": "add categories, or the run of another data set",
        "dataset": "add the run of another data set",
        "layer": "add another layer of the same width",
        "shots": "add another number of shots",
        "seed": "add seeds",
    }[across]
    others = ", ".join(a for a in ACROSS if a != across)
    return (
        f"overlap across {across} needs two to compare, and there is {', '.join(values[:3])} "
        f"alone: {add}, or compare across something else ({others})"
    )
