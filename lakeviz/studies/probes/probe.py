"""Linear probes of patch tokens, cross-fitted over images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from lakeviz.errors import ConfigError

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
