"""The study ``probes``: sparse linear probes against random neurons and shuffled labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import hypergeom

from lakeviz.lake.paired_evaluator import PairedEvaluator, compare
from lakeviz.lake.selection import NeuronSelection
from lakeviz.metrics.measurement import Measurement
from lakeviz.progress import expect
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.probes.probe import (
    Choose,
    Labelled,
    Probe,
    fixed,
    make_folds,
    most_different,
)
from lakeviz.studies.probes.result import ProbesResult, Settings
from lakeviz.studies.probes.words import ALL, CHOSEN, L1, RANDOM, SHUFFLED, VARIANCE

Rows = Iterator[dict[str, Any]]


def measure(data: StudyData, settings: Settings, evaluator: PairedEvaluator) -> Measured:
    """Train and measure the probes of every hook point.

    Raises
    ------
    ConfigError
        If a class has too few images.
    """
    expect(n_conditions(data, settings))
    labels = np.asarray(data.truth.labels, dtype=bool)
    folds = make_folds(labels, settings.n_folds, settings.seed)
    metrics, overlap, notes = [], [], []
    for point in data.points:
        truth = PatchTruth.of(
            data.truth, data.grids[point], settings.share, data.geometry, data.sizes
        )
        is_defect = truth.defect
        if truth.reason:
            notes.append(
                f"{data.category}: every patch of an anomalous image is taken for a defect, "
                f"because {truth.reason}"
            )
            is_defect = np.repeat(labels[:, None], is_defect.shape[1], axis=1)
        tokens = data.test.patches(point).float().numpy()
        own = Labelled(tokens, is_defect, ~labels, folds, settings.per_image, settings.seed)
        case = _Case(data, point, own, settings, evaluator)
        metrics += list(case.metric_rows())
        overlap += list(case.overlap_rows())
    return Measured({"metrics": metrics, "overlap": overlap}, list(dict.fromkeys(notes)))


def n_conditions(data: StudyData, settings: Settings) -> int:
    """How many probes are measured: by size, those chosen in two ways and random ones."""
    shuffled = 1 + settings.n_shuffles
    widths = map(data.n_channels, data.points)
    sizes = [sum(k < n for k in set(settings.sizes)) for n in widths]
    return sum(n * (settings.n_random_sets + 2 * shuffled) + 2 * shuffled for n in sizes)


class _Case:
    """The probes of one hook point."""

    def __init__(
        self,
        data: StudyData,
        point: str,
        labelled: Labelled,
        settings: Settings,
        evaluator: PairedEvaluator,
    ) -> None:
        self.data, self.point, self.labelled = data, point, labelled
        self.settings, self.evaluator = settings, evaluator
        self.n_channels = data.n_channels(point)
        self.ridge = Probe(settings.strength)

    @property
    def sizes(self) -> list[int]:
        """Sizes of sparse probes that leave neurons out."""
        return sorted({k for k in self.settings.sizes if k < self.n_channels})

    def metric_rows(self) -> Rows:
        """Rows of the sparse probes, then of the L1 probe and of all neurons."""
        for k in self.sizes:
            random = [self._measure(fixed(self._select(k, RANDOM, s))) for s in self._seeds]
            for name, choose in (
                (CHOSEN, most_different(k)),
                (VARIANCE, fixed(self._select(k, VARIANCE))),
            ):
                controls = {RANDOM: random, SHUFFLED: self._shuffled(choose)}
                yield from self._compared(name, k, self._measure(choose), controls)
        every = fixed(np.arange(self.n_channels))
        lasso = Probe(self.settings.strength, l1=True)
        maps, chosen = lasso.maps(self.labelled, every)
        size = float(np.mean([len(one) for one in chosen]))
        yield from self._compared(L1, size, self._of_maps(maps), {SHUFFLED: self._shuffled(every)})
        yield from self._compared(
            ALL, self.n_channels, self._measure(every), {SHUFFLED: self._shuffled(every)}
        )

    def overlap_rows(self) -> Rows:
        """Rows of what probes chose against the top by variance."""
        for k in self.sizes:
            top = set(self._select(k, VARIANCE).tolist())
            _, chosen = self.ridge.maps(self.labelled, most_different(k))
            shared = [len(top & set(one.tolist())) for one in chosen]
            p_values = [hypergeom.sf(n - 1, self.n_channels, k, k) for n in shared]
            yield {
                "point": self.point,
                "size": k,
                "shared": float(np.mean(shared)),
                "expected": k * k / self.n_channels,
                # Folds share most of their images: no evidence is gained from there being several.
                "p_value": float(np.median(p_values)),
                "n_channels": self.n_channels,
                "n_folds": len(chosen),
            }

    def _compared(
        self,
        neurons: str,
        size: float,
        own: Measurement,
        controls: Mapping[str, Sequence[Measurement]],
    ) -> Rows:
        said = {"point": self.point, "neurons": neurons, "size": size}
        for row in compare(own, controls, self.evaluator):
            yield said | row

    @property
    def _seeds(self) -> range:
        return range(self.settings.seed, self.settings.seed + self.settings.n_random_sets)

    def _select(self, k: int, selector: str, seed: int = 0) -> np.ndarray:
        found = self.data.view(points=[self.point]).select(k, selector, seed)[self.point]
        assert isinstance(found, NeuronSelection)
        return found.channels

    def _shuffled(self, choose: Choose) -> list[Measurement]:
        """The probe told shuffled labels, each time others."""
        return [
            self._measure(choose, self.labelled.shuffled(seed))
            for seed in range(self.settings.n_shuffles)
        ]

    def _measure(self, choose: Choose, anomalous: np.ndarray | None = None) -> Measurement:
        return self._of_maps(self.ridge.maps(self.labelled, choose, anomalous)[0])

    def _of_maps(self, maps: np.ndarray) -> Measurement:
        return self.evaluator.measure(maps.reshape(len(maps), *self.data.grids[self.point]))


STUDY = Study(Settings, ProbesResult, measure)
