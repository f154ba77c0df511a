"""One category of a run: detectors on every draw of its normal images, controls, evaluation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from lakeviz.activations.changes import reach_of
from lakeviz.data import Dataset, FewShotDraw
from lakeviz.data.dataset import contents
from lakeviz.errors import DataError, LakevizError, ModelError
from lakeviz.journal import Journal
from lakeviz.lake.detector import Lake
from lakeviz.lake.evaluation import Evaluation
from lakeviz.lake.measuring import evaluate
from lakeviz.lake.provenance import versions
from lakeviz.lake.selection import Selection
from lakeviz.metrics import Bootstrap
from lakeviz.runs.images import normal_contents
from lakeviz.runs.manifest import OTHER_CATEGORY, UNTRAINED
from lakeviz.runs.spec import RunSpec
from lakeviz.selector_names import SHUFFLED

if TYPE_CHECKING:
    from lakeviz.activations import Loading
    from lakeviz.models import VisionModel

_log = logging.getLogger(__name__)

MOST_OTHERS = 5
"""Other categories whose selections stand as a control."""


@dataclass
class CategoryRun:
    """Evaluates the categories of a run; what several of them need is made once.

    Attributes
    ----------
    spec : RunSpec
    model : VisionModel
    dataset : Dataset
        All categories.
    draws : mapping of category to FewShotDraws
        Normal images of each, draw by draw.
    loading : Loading, optional
    """

    spec: RunSpec
    model: VisionModel
    dataset: Dataset
    draws: Mapping[str, Sequence[FewShotDraw]]
    loading: Loading | None = None
    _selections: dict[tuple[str, int], Mapping[str, Selection]] = field(default_factory=dict)

    def journal(self, category: str, path: Path) -> Journal:
        """What a category keeps until it is finished, bound to all that its scores depend on."""
        images = [contents(self.dataset.category(category).evaluated())]
        images.append(normal_contents(self.draws[category]))
        return Journal(path, [self.spec.digest, self.model.weights_hash, versions(), *images])

    def evaluate(self, category: str, journal: Journal | None = None) -> Evaluation:
        """Fit on every draw, score the test images in one pass, and measure with all controls.

        Batches that the journal holds are not scored again.
        """
        spec, own = self.spec, self.dataset.category(category)
        lakes = []
        for number, draw in enumerate(self.draws[category]):
            borrowed, why = self._borrowed(category, number)
            lake = Lake.from_options(self.model, spec.options)
            lake.fit(draw, controls=spec.control_specs(), borrowed=borrowed, loading=self.loading)
            lake.missing_controls |= why
            lakes.append(lake)
        towers, why = self._towers(category)
        lakes[0].missing_controls |= why
        shuffled, why = self._shuffled(category)
        lakes[0].missing_controls |= why
        evaluation = evaluate(
            lakes[0],
            own,
            further=lakes[1:],
            towers=towers,
            shuffled=shuffled,
            loading=self.loading,
            bootstrap=Bootstrap(seed=spec.bootstrap_seed),
            journal=journal,
        )
        self._describe(evaluation, category, lakes)
        return evaluation

    def _borrowed(
        self, category: str, number: int
    ) -> tuple[dict[str, Mapping[str, Selection]], dict[str, str]]:
        """Selections of other categories, by the name of the control, or why there are none."""
        if OTHER_CATEGORY not in self.spec.controls:
            return {}, {}
        others = [name for name in self.draws if name != category][:MOST_OTHERS]
        if not others:
            return {}, {OTHER_CATEGORY: "there is no other category to select neurons on"}
        return {f"{OTHER_CATEGORY}#{name}": self._selected(name, number) for name in others}, {}

    def _selected(self, category: str, number: int) -> Mapping[str, Selection]:
        """Selection on a draw of a category; on its last one where it has fewer draws."""
        number = min(number, len(self.draws[category]) - 1)
        if (category, number) not in self._selections:
            lake = Lake.from_options(self.model, self.spec.options)
            lake.fit(self.draws[category][number], loading=self.loading)
            self._selections[category, number] = lake.visual.selections
        return self._selections[category, number]

    @cached_property
    def _untrained(self) -> list[VisionModel] | str:
        """Untrained towers, or why there are none."""
        try:
            return [self.model.untrained(seed) for seed in range(self.spec.untrained)]
        except ModelError as error:
            return str(error)

    def _towers(self, category: str) -> tuple[dict[str, list[list[Lake]]], dict[str, str]]:
        """Detectors on untrained towers, or why there are none."""
        if isinstance(self._untrained, str):
            return {}, {UNTRAINED: self._untrained}
        found = []
        for model in self._untrained:
            try:
                found.append([self._fit_untrained(model, d) for d in self.draws[category]])
            except LakevizError as error:
                return {}, {UNTRAINED: str(error)}
        return ({UNTRAINED: found} if found else {}), {}

    def _fit_untrained(self, model: VisionModel, draw: FewShotDraw) -> Lake:
        # The same visual branch; prompts have no part in a comparison of towers.
        lake = Lake.from_options(model, replace(self.spec.options, text_weight=0.0))
        return lake.fit(draw, loading=self.loading)

    def _shuffled(self, category: str) -> tuple[list[Lake], dict[str, str]]:
        """Detectors fitted on frames in random order, or why there are none."""
        if SHUFFLED not in self.spec.controls:
            return [], {}
        options = self.spec.options
        if not all(draw.frames for draw in self.draws[category]):
            return [], {SHUFFLED: "the images are not frames of clips"}
        if not reach_of(Lake.from_options(self.model, options).points):
            return [], {SHUFFLED: "no stream looks at other frames, so their order changes nothing"}
        draws = [draw.shuffled_frames(options.seed) for draw in self.draws[category]]
        lakes = [Lake.from_options(self.model, replace(options, text_weight=0.0)) for _ in draws]
        return [own.fit(d, loading=self.loading) for own, d in zip(lakes, draws, strict=True)], {}

    def _describe(self, evaluation: Evaluation, category: str, lakes: Sequence[Lake]) -> None:
        """Say in the provenance which normal images were used, and what they held."""
        draws = self.draws[category]
        first = draws[0]
        used = []
        for lake, draw in zip(lakes, draws, strict=True):
            known = set(lake.normal_ids)
            pairs = zip(draw.sample_ids, draw.paths, strict=True)
            used.append([name for name, path in pairs if path.as_posix() in known])
            if not used[-1]:
                raise DataError(f"{category}: no normal image of a draw could be read")
        evaluation.provenance["fit"] |= {
            "seed": first.seed,
            "pool_size": first.pool_size,
            "sample_ids": used[0],
            "draws": used,
            "contents": normal_contents(draws),
            "skipped": [list(entry) for lake in lakes for entry in lake.skipped],
        }
        evaluation.provenance["seeds"] = self.spec.seeds(self.dataset)
        loading = self.loading
        evaluation.provenance["environment"]["batch_size"] = loading and loading.batch_size
