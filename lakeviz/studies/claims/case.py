"""What the claims are tested on: one category with its settings, measured once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from lakeviz.errors import LakevizError
from lakeviz.lake import Selection
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.contrasts import Replicates
from lakeviz.metrics.measurement import Measurement
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.draws import members_of
from lakeviz.studies.claims.result import IMAGE_AUROC, ClaimSettings

if TYPE_CHECKING:
    from lakeviz.studies.patching.unit_sets import UnitSets

Maps = Float[np.ndarray, "image row column"]
Towers = Callable[[], Iterable[Sequence[StudyData]]]
"""Makes the captures of untrained towers, one after the other: of each, all draws."""

_BLOCK = 16
"""Sets that are scored at a time, and sets that are measured on resamples of the images.

Further sets are measured exactly alone: how sets vary needs no resamples of the images.
"""


@dataclass(frozen=True)
class Case:
    """One category at some hook points.

    Attributes
    ----------
    data : StudyData
        On the first draw of the normal images.
    settings : ClaimSettings
    pool : StudyData, optional
        The same category with more normal images, for the claim on contamination.
    further : sequence of StudyData
        On the other draws of the normal images; effects are means over all of them.
    untrained : callable, optional
        Makes the captures of untrained towers of the same architecture, of each all draws; it may
        raise a ``LakevizError``, which is the reason why a claim was not measured.
    """

    data: StudyData
    settings: ClaimSettings = field(default_factory=ClaimSettings)
    pool: StudyData | None = None
    further: Sequence[StudyData] = ()
    untrained: Towers | None = None

    @property
    def draws(self) -> tuple[StudyData, ...]:
        """The category on every draw of the normal images."""
        return (self.data, *self.further)

    @property
    def k(self) -> int:
        """Neurons per hook point."""
        return self.data.options.k

    @property
    def n_channels(self) -> int:
        """Channels of the narrowest hook point."""
        return min(self.data.n_channels(p) for p in self.data.points)

    def all_selected(self, so: str) -> str:
        """Say that all channels are selected, and what follows; empty where some are not."""
        return f"all {self.k} channels are selected: {so}" if self.k == self.n_channels else ""

    @property
    def crowded(self) -> str:
        """Why random sets are no control; empty where they share few members with the selection."""
        if 2 * self.k <= self.n_channels:
            return ""
        return (
            f"{self.k} of {self.n_channels} channels are selected: random sets of that size share "
            "more than half of their members with the selection"
        )

    def at(self, point: str) -> Case:
        """The same category at one of its hook points alone."""
        pool, towers = self.pool, self.untrained

        def there(one: StudyData) -> StudyData:
            return one.view(points=[point])

        def untrained() -> Iterator[list[StudyData]]:
            assert towers is not None
            for draws in towers():
                yield [there(one) for one in draws]

        return Case(
            there(self.data),
            self.settings,
            None if pool is None else there(pool),
            [there(one) for one in self.further],
            None if towers is None else untrained,
        )

    @cached_property
    def evaluator(self) -> PairedEvaluator:
        """The metric of the settings, and image AUROC."""
        metrics = dict.fromkeys((self.settings.metric, IMAGE_AUROC))
        return self.data.evaluator(tuple(metrics), self.settings.bootstrap)

    @cached_property
    def _exact(self) -> PairedEvaluator:
        return replace(self.evaluator, bootstrap=replace(self.settings.bootstrap, n_resamples=1))

    # --- selections ---

    @property
    def seeds(self) -> range:
        """A seed for each random set."""
        return range(self.settings.seed, self.settings.seed + self.settings.n_random_sets)

    def select(
        self, data: StudyData, selector: str, k: int | None = None
    ) -> list[dict[str, Selection]]:
        """One selection on a draw, or one per random set."""
        k, own = self.k if k is None else k, self.settings
        return members_of(data, k, selector, own.n_random_sets, own.seed)

    # --- interventions on pairs ---

    @cached_property
    def exchanged(self) -> UnitSets | str:
        """Sets of neurons that are exchanged within pairs, or why there are none."""
        from lakeviz.studies.patching.result import Settings
        from lakeviz.studies.patching.setup import unit_sets

        own = self.settings
        if own.n_pairs == 0:
            return "no pairs were asked for"
        asked = Settings(
            n_pairs=own.n_pairs, n_random_sets=own.n_exchanged, controls=(), seed=own.seed
        )
        try:
            return unit_sets(self.draws, asked, with_text=False)
        except LakevizError as error:
            return str(error)

    @cached_property
    def exchanged_latents(self) -> UnitSets | str:
        """The same of the latents of the autoencoder that was given, on the same pairs."""
        from lakeviz.studies.patching.setup import sets_of_units
        from lakeviz.units import load_sae

        if self.settings.sae is None:
            return "no sparse autoencoder was given"
        if isinstance(self.exchanged, str):
            return self.exchanged
        try:
            return sets_of_units(self.exchanged, self.draws, load_sae(self.settings.sae))
        except LakevizError as error:
            return str(error)

    # --- measurements, on every draw ---

    def measured(self, selector: str, k: int | None = None) -> Replicates:
        """The visual branch in the neurons of a selector: draw by draw, set by set."""
        rows = []
        for data in self.draws:
            chosen = self.select(data, selector, k)
            blocks = (chosen[i : i + _BLOCK] for i in range(0, len(chosen), _BLOCK))
            maps = (one for block in blocks for one in data.visual_maps(data.branches(block)))
            rows.append(self.measure_sets(maps))
        return Replicates.over_draws(rows)

    def measure_sets(self, maps: Iterable[Maps]) -> list[Measurement]:
        """Measure the maps of random sets; further ones without resamples."""
        maps = iter(maps)
        found = self.evaluator.measure_all(list(islice(maps, _BLOCK)))
        while block := list(islice(maps, _BLOCK)):
            found += [replace(one, resampled={}) for one in self._exact.measure_all(block)]
        return found

    def measure(self, maps: Iterable[Maps]) -> Replicates:
        """Measure one map per draw."""
        return Replicates.over_draws(self.evaluator.measure_all(list(maps)))

    @cached_property
    def top_maps(self) -> list[Maps]:
        """Patch maps of the visual branch in the neurons of highest variance, on each draw."""
        return [
            data.visual_maps(data.branches(self.select(data, "variance")))[0] for data in self.draws
        ]

    @cached_property
    def top(self) -> Replicates:
        """What these maps measure."""
        return self.measure(self.top_maps)

    @cached_property
    def random(self) -> Replicates:
        """The visual branch in random neurons of the same number."""
        return self.measured("random")

    @cached_property
    def everything(self) -> Replicates:
        """The visual branch in all channels."""
        return self.measured("all")

    @cached_property
    def floor(self) -> Replicates | str:
        """The neurons of highest variance of untrained towers, or why there are none."""
        if self.untrained is None:
            return "no untrained tower was captured"
        towers = []
        try:
            for draws in self.untrained():
                chosen = [(one, self.select(one, "variance")) for one in draws]
                maps = [one.visual_maps(one.branches(own))[0] for one, own in chosen]
                towers.append(self.measure(maps))
        except LakevizError as error:
            return str(error)
        if not towers:
            return "no untrained tower was asked for"
        rows = zip(*(tower.cells for tower in towers), strict=True)
        return Replicates.over_draws([[own for (own,) in row] for row in rows])
