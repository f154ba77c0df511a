"""``SweepSpec``: a run's settings and a grid over them, as plain data; its cells."""

from __future__ import annotations

import hashlib
import itertools
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from typing import Any

from lakeviz.data import Dataset
from lakeviz.data.dataset import unknown_category
from lakeviz.errors import ConfigError, DataError
from lakeviz.lake.paired_evaluator import DEFAULT_BOOTSTRAP
from lakeviz.lake.provenance import as_plain
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.measurement import DEFAULT_METRICS, Metric
from lakeviz.runs.spec import RunSpec
from lakeviz.studies.base.capture import STUDY_MAP_SIZE
from lakeviz.studies.sweep.axes import AXES, Value, check_grid

REFERENCE = "variance"
"""The selector that all others on the axis ``selector`` are controls of."""
WITHOUT_FIRST = "variance_without_first"


@dataclass(frozen=True)
class Cell:
    """One point of a grid: the values of all axes, and the settings that it stands for."""

    values: Mapping[str, Value | None]  # also of axes that the grid leaves as the base has them
    spec: RunSpec  # of one category

    @property
    def category(self) -> str:
        """Its category."""
        return str(self.values["category"])

    @property
    def selector(self) -> str:
        """Its selector."""
        return self.spec.options.selector


@dataclass(frozen=True)
class SweepSpec:
    """A grid of settings.

    Parameters
    ----------
    base : RunSpec
        What the grid leaves alone. Its listed normal images are used where the grid has neither
        shots nor seeds. Pixel maps are 128 x 128 where it names no size.
    grid : dict of axis to tuple of values
        Axes: category, model (``"name"`` or ``"name@pretrained"``), layer (``"5"``, or ``"5+6"``
        for the mean of two), shots, seed (of the draw of normal images, of random selectors and of
        coresets), k, normalisation (``"l2"``, ``"l2/after"``), distance, neighbours, coreset,
        text_weight, image_score, selector.
    metrics : tuple of (level, name)
        The first one is the one that summaries speak of.
    bootstrap : Bootstrap
    n_random_sets : int
        Sets that the selector ``variance`` is compared with where a random selector is its control;
        the first of them is the cell's own.

    Raises
    ------
    ConfigError, SelectionError
        The grid is not one: see :func:`.axes.check_grid`.
    """

    base: RunSpec
    grid: Mapping[str, tuple[Value, ...]]
    metrics: tuple[Metric, ...] = DEFAULT_METRICS
    bootstrap: Bootstrap = field(default_factory=lambda: DEFAULT_BOOTSTRAP)
    n_random_sets: int = 5
    random_draws: InitVar[int | None] = None  # the name of n_random_sets in the version before

    def __post_init__(self, random_draws: int | None) -> None:
        if random_draws is not None:
            warnings.warn("random_draws is called n_random_sets now", DeprecationWarning, 3)
            object.__setattr__(self, "n_random_sets", random_draws)
        if self.n_random_sets < 1:
            raise ConfigError(f"n_random_sets is {self.n_random_sets}; it must be at least 1")
        if self.base.options.map_size is None:
            options = replace(self.base.options, map_size=STUDY_MAP_SIZE)
            object.__setattr__(self, "base", replace(self.base, options=options))
        object.__setattr__(self, "grid", check_grid(self.grid, self.base))
        object.__setattr__(self, "metrics", tuple((str(a), str(b)) for a, b in self.metrics))

    def __hash__(self) -> int:
        return hash(self.digest)

    def to_plain(self) -> dict[str, Any]:
        """Return the spec as JSON types."""
        return as_plain(self)

    @property
    def digest(self) -> str:
        """SHA-256 of everything but where the data lie and what computes."""
        plain = self.to_plain()
        for name in ("root", "device"):
            plain["base"].pop(name)
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    @property
    def varied(self) -> list[str]:
        """Axes with more than one value."""
        return [name for name, values in self.grid.items() if len(values) > 1]

    @property
    def reference(self) -> str | None:
        """The selector that others of the grid are controls of, where there are both."""
        selectors = self.grid.get("selector", ())
        return REFERENCE if REFERENCE in selectors and len(selectors) > 1 else None

    def categories(self, dataset: Dataset) -> list[str]:
        """Categories of the grid, or of the base, or all.

        Raises
        ------
        DataError
            If the data set does not have one.
        """
        named = self.grid.get("category") or self.base.categories or dataset.categories
        for name in named:
            if name not in dataset.categories:
                raise DataError(unknown_category(str(name), dataset.categories, dataset.name))
        return [str(name) for name in named]

    def cells(self, dataset: Dataset) -> list[Cell]:
        """Every point of the grid, the selector varying fastest."""
        grid: dict[str, Sequence[Value]] = {**self.grid, "category": self.categories(dataset)}
        axes = [name for name in AXES if name in grid]
        return [
            self._cell(dict(zip(axes, values, strict=True)))
            for values in itertools.product(*(grid[name] for name in axes))
        ]

    def _cell(self, chosen: Mapping[str, Value]) -> Cell:
        spec = self.base
        for name, value in chosen.items():
            spec = AXES[name].put(spec, value)
        lists = {c: ids for c, ids in spec.few_shot_lists.items() if c == chosen["category"]}
        spec = replace(spec, few_shot_lists=lists)
        values = {n: chosen[n] if n in chosen else axis.get(spec) for n, axis in AXES.items()}
        return Cell(values, spec)
