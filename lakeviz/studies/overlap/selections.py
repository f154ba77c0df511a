"""What is compared: selections, each of one category, data set, layer, number of shots and seed."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from lakeviz.activations import ChannelStatistics, ImageStatistics
from lakeviz.errors import ConfigError, DataError
from lakeviz.lake import NeuronSelection, SubspaceSelection, select
from lakeviz.lake.selectors import check_k
from lakeviz.studies.overlap.measures import FEWEST_OTHERS, matched_draws, matched_obstacle, top_k
from lakeviz.studies.overlap.result import ACROSS, FIELDS, SEVERAL, PairSettings
from lakeviz.tables import Row

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
        Of the model, and of units in place of neurons: channels of other weights are other neurons.

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
        if not images:
            raise DataError(f"{self}: there is no normal image to select from")
        if len(set(images)) != len(images) or min(images) < 0 or max(images) >= n:
            raise DataError(f"{self}: images must be different positions in a pool of {n}")
        # By name, so that what is drawn below does not depend on the order they came in.
        object.__setattr__(self, "images", tuple(self.by_name(images)))

    def __str__(self) -> str:
        return f"{self.dataset}/{self.category}"

    def by_name(self, images: Iterable[int]) -> list[int]:
        """Positions in the pool, in the order of the names of the images."""
        return sorted(images, key=lambda i: self.pool.sample_ids[i])

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

    def resampled(self, n: int, purpose: str, seed: int) -> Float[np.ndarray, "draw channel"]:
        """Variances in ``n`` resamples of the images, with replacement.

        Raises
        ------
        DataError
            If there are fewer than 2 images.
        """
        if self.n_images < 2:
            raise DataError(
                f"{self}: resampling needs 2 normal images or more, and there is {self.n_images}"
            )
        share = np.full(self.n_images, 1 / self.n_images)
        drawn = self.generator(purpose, seed).multinomial(self.n_images, share, size=n)
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
    """Items that are compared with each other, the same in all fields but the varied ones."""

    items: tuple[OverlapItem, ...]  # sorted, so that the order they came in does not matter
    k: int
    settings: PairSettings

    @property
    def varied(self) -> tuple[str, ...]:
        """Fields that differ between the items."""
        return ACROSS[self.settings.across]

    @property
    def fixed(self) -> Row:
        """The fields that all items share, with their values: columns of a table."""
        return {n: v for n, v in zip(FIELDS, self.items[0].key) if n not in self.varied}

    @property
    def n_channels(self) -> int:
        """Number of channels of all items."""
        return self.items[0].pool.n_channels

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Positions of the items of each pair; across data sets, only pairs of different ones."""
        found = list(combinations(range(len(self.items)), 2))
        if self.settings.across != "dataset":
            return found
        return [(i, j) for i, j in found if self.items[i].dataset != self.items[j].dataset]

    @property
    def names(self) -> list[str]:
        """Shortest names that tell the items apart."""
        differ = [n for n in self.varied if len({getattr(i, n) for i in self.items}) > 1]
        used = self.varied if "dataset" in differ else differ or self.varied[-1:]
        form = {"shots": "{} shots", "seed": "seed {}"}
        said = [[form.get(f, "{}").format(getattr(i, f)) for f in used] for i in self.items]
        return ["/".join(dict.fromkeys(parts)) for parts in said]

    @cached_property
    def selections(self) -> list[NeuronSelection]:
        """Neurons of each item."""
        return [item.select(self.k) for item in self.items]

    @cached_property
    def variances(self) -> Float[np.ndarray, "item channel"]:
        """Variance of each channel in each item."""
        return np.stack([item.statistics.variance for item in self.items])

    @cached_property
    def members(self) -> Bool[np.ndarray, "item channel"]:
        """Which channels each item selected."""
        found = np.zeros(self.variances.shape, dtype=bool)
        for row, selection in zip(found, self.selections, strict=True):
            row[selection.channels] = True
        return found

    @cached_property
    def ranks(self) -> Int[np.ndarray, "item channel"]:
        """Rank of each channel by variance, 1 for the highest."""
        order = np.argsort(-self.variances, axis=1, kind="stable")
        return np.argsort(order, axis=1) + 1

    @property
    def obstacles(self) -> dict[str, str]:
        """Why there are no sets next in variance or no ``permutation`` null, where it is so."""
        others, found = len(self.items) - 2, {}
        if why := matched_obstacle(self.n_channels, self.k):
            found["matched"] = why
        if self.settings.across not in ("category", "dataset"):
            found["permutation"] = "items of one category have no common profile but their own"
        elif others < FEWEST_OTHERS:
            needed = f"{FEWEST_OTHERS} items in addition to the pair are needed"
            found["permutation"] = f"{needed}, and there are {others}"
        return found

    @cached_property
    def matched(self) -> Bool[np.ndarray, "item draw channel"] | None:
        """Draws of sets next in variance of each item; None where they would be forced."""
        if "matched" in self.obstacles:
            return None
        n, found = self.settings.n_random_sets, []
        for item in self.items:
            seeds = item.generator("matched", self.settings.seed).integers(2**31, size=n)
            found.append(matched_draws(item.statistics, self.k, seeds))
        return np.stack(found)

    @cached_property
    def resampled(self) -> list[Bool[np.ndarray, "draw channel"] | None]:
        """Selections from resampled images of each item; None where there is one image."""
        n, seed = self.settings.n_resamples, self.settings.seed
        return [
            top_k(item.resampled(n, "first", seed), self.k) if item.n_images > 1 else None
            for item in self.items
        ]


def make_groups(items: Iterable[OverlapItem], k: int, settings: PairSettings) -> list[Group]:
    """Sort items into groups to be compared; refuses what cannot be, as ``overlap`` says."""
    items = sorted(items, key=lambda item: _natural(item.key))
    _check_items(items)
    varied = ACROSS[settings.across]
    found: dict[Key, list[OverlapItem]] = {}
    for item in items:
        key = tuple(v for n, v in zip(FIELDS, item.key) if n not in varied)
        found.setdefault(key, []).append(item)
    groups = [Group(tuple(found[key]), k, settings) for key in sorted(found, key=_natural)]
    for group in groups:
        widths = {item.pool.n_channels: item.point for item in group.items}
        if len(widths) > 1:
            said = " and ".join(f"{point} has {n}" for n, point in list(widths.items())[:2])
            raise ConfigError(
                f"channels can be compared only where there are equally many, and {said}; choose "
                "blocks of one residual stream"
            )
    comparable = [group for group in groups if group.pairs]
    if not comparable:
        raise ConfigError(_nothing_to_compare(items, settings.across))
    for group in comparable:
        check_k("variance", k, group.n_channels, group.items[0].point)
    return comparable


def _check_items(items: Sequence[OverlapItem]) -> None:
    for one, other in pairwise(items):  # they are sorted by their keys
        if one.key == other.key:
            said = ", ".join(f"{n} {v}" for n, v in zip(FIELDS, one.key))
            raise ConfigError(f"the same item is there twice ({said})")
    models = {item.weights_hash: item for item in items if item.weights_hash}
    if len(models) > 1:
        said = " and ".join(f"{item} ({h[:12]})" for h, item in list(models.items())[:2])
        raise ConfigError(
            f"{said} were captured with different weights, whose channels are not the same "
            "neurons; compare items of one model"
        )


def _natural(key: Key) -> list[tuple[int, int, str]]:
    """Sort numbers in texts by value: block 2 before block 10, 4 shots before 16."""
    pieces = re.findall(r"\d+|\D", "\n".join(map(str, key)))
    return [(0, int(p), "") if p.isdecimal() and len(p) < 1000 else (1, 0, p) for p in pieces]


def _nothing_to_compare(items: Sequence[OverlapItem], across: str) -> str:
    if not items:
        return "there is no item to compare"
    fields = ACROSS[across]
    values = sorted({"/".join(str(getattr(i, f)) for f in fields) for i in items})
    others = ", ".join(name for name in ACROSS if name != across)
    return (
        f"overlap across {across} needs two to compare, and there is {', '.join(values[:3])} "
        f"alone: add {SEVERAL[across]}, or compare across something else ({others})"
    )
