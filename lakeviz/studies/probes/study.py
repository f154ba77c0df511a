"""The study ``probes``: sparse linear probes against random neurons and shuffled labels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import hypergeom
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from lakeviz.errors import ConfigError
from lakeviz.lake.paired_evaluator import PairedEvaluator, compare
from lakeviz.lake.selection import NeuronSelection
from lakeviz.metrics.measurement import Measurement
from lakeviz.progress import expect
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.study import Measured, Study
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.probes.result import ProbesResult, Settings
from lakeviz.studies.probes.words import ALL, CHOSEN, L1, RANDOM, SHUFFLED, VARIANCE

Choose = Callable[[Float[np.ndarray, "row channel"], Bool[np.ndarray, " row"]], np.ndarray]
"""From training tokens and labels to the channels of a probe."""


@dataclass(frozen=True)
class Labelled:
    """Patch tokens of the test images, and which of them are defects.

    All patches of normal images are normal ones; other patches of anomalous images are neither. An
    image is scored by the probe of its fold, trained on the others, on ``per_image`` patches of an
    image at most.
    """

    tokens: Float[np.ndarray, "image patch channel"]
    is_defect: Bool[np.ndarray, "image patch"]
    is_normal: Bool[np.ndarray, " image"]
    folds: Int[np.ndarray, " image"]
    per_image: int
    seed: int

    @cached_property
    def rows(self) -> tuple[Int[np.ndarray, " row"], Int[np.ndarray, " row"]]:
        """Image and patch of every token that may be trained on."""
        random = np.random.default_rng([self.seed, 2])
        images, patches = [], []
        for image, normal in enumerate(self.is_normal):
            own = (
                np.arange(self.tokens.shape[1]) if normal else np.flatnonzero(self.is_defect[image])
            )
            own = random.permutation(own)[: self.per_image]
            images.append(np.full(len(own), image))
            patches.append(own)
        return np.concatenate(images), np.concatenate(patches)

    def shuffled(self, seed: int) -> Bool[np.ndarray, " image"]:
        """Which images are anomalous, permuted among those of a fold with tokens to train on."""
        used, labels = np.unique(self.rows[0]), ~self.is_normal
        random, made = np.random.default_rng([self.seed, 3, seed]), labels.copy()
        for fold in np.unique(self.folds):  # each keeps both classes
            own = used[self.folds[used] == fold]
            made[own] = random.permutation(labels[own])
        return made


@dataclass(frozen=True)
class Probe:
    """How a probe is trained: inverse strength of the regularisation, lasso instead of ridge."""

    strength: float = 1.0
    l1: bool = False

    def maps(
        self, data: Labelled, choose: Choose, anomalous: Bool[np.ndarray, " image"] | None = None
    ) -> tuple[Float[np.ndarray, "image patch"], list[Int[np.ndarray, " k"]]]:
        """Log-odds of a defect for every patch, from the probe that was trained without the image.

        ``choose`` takes the channels from the training tokens of each fold, which are returned too;
        of an L1 probe those in use. ``anomalous`` are the labels that the probe is told; the true
        ones by default.
        """
        told = ~data.is_normal if anomalous is None else anomalous
        images, patches = data.rows
        found = np.zeros(data.tokens.shape[:2])
        chosen = []
        for fold in np.unique(data.folds):
            train = data.folds[images] != fold
            x, y = data.tokens[images[train], patches[train]], told[images[train]]
            if y.all() or not y.any():
                raise ConfigError("the images of a fold leave one class alone to train a probe on")
            channels = choose(x, y)
            mean, scale = x[:, channels].mean(0), x[:, channels].std(0)
            scale = np.where(scale > 0, scale, 1.0)
            model = self._fitted((x[:, channels] - mean) / scale, y)
            weights = model.coef_[0]
            own = data.folds == fold
            unit = (data.tokens[own][..., channels] - mean) / scale
            found[own] = unit @ weights + np.ravel(model.intercept_)[0]
            chosen.append(channels[weights != 0] if self.l1 else channels)
        return found, chosen

    def _fitted(self, x: np.ndarray, y: np.ndarray) -> LogisticRegression:
        how = {"C": self.strength, "class_weight": "balanced", "max_iter": 1000}
        if self.l1:
            how |= {"l1_ratio": 1.0, "solver": "liblinear", "random_state": 0}
        return LogisticRegression(**how).fit(x, y)


def make_folds(
    anomalous: Bool[np.ndarray, " image"], n: int, seed: int
) -> Int[np.ndarray, " image"]:
    """Assign images to folds, each class spread evenly."""
    fewest = int(min(anomalous.sum(), (~anomalous).sum()))
    if fewest < n:
        raise ConfigError(
            f"a probe in {n} folds needs as many images of each class, and one has {fewest}; use "
            "fewer folds"
        )
    folds = np.empty(len(anomalous), dtype=np.int64)
    splits = StratifiedKFold(n, shuffle=True, random_state=seed).split(anomalous, anomalous)
    for fold, (_, own) in enumerate(splits):
        folds[own] = fold
    return folds


def most_different(k: int) -> Choose:
    """Channels whose means differ most between the classes, in standard deviations."""

    def choose(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        spread = np.sqrt((x[y].var(0) + x[~y].var(0)) / 2)
        apart = np.abs(x[y].mean(0) - x[~y].mean(0))
        effect = np.divide(apart, spread, out=np.zeros_like(apart), where=spread > 0)
        return np.argsort(-effect, kind="stable")[:k]

    return choose


def fixed(channels: Int[np.ndarray, " k"]) -> Choose:
    """The same channels in every fold."""
    return lambda x, y: channels


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
