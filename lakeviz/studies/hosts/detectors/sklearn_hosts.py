"""scikit-learn's detectors as hosts: each patch is a sample, each channel a feature."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import ConfigError
from lakeviz.studies.hosts.detectors.protocol import FeatureHost, HostScores, require

_BATCH = 1 << 15  # patches handed to scikit-learn at a time


class _SampleHost(FeatureHost):
    """A host that wraps one scikit-learn estimator of samples [patch, channel]."""

    def __init__(self) -> None:
        require("sklearn", self.name)
        super().__init__()
        self.estimator: Any = None

    def fit(
        self, features: Float[Tensor, "image patch channel"], grid: tuple[int, int]
    ) -> _SampleHost:
        """Fit on the patches of normal images."""
        samples = self._accept(features, grid).flatten(0, 1).cpu().numpy()
        self.estimator = self._make(samples)
        self.estimator.fit(samples)
        return self

    def score(self, features: Float[Tensor, "image patch channel"]) -> HostScores:
        """Score each patch by itself."""
        checked = self._query(features)
        samples = checked.flatten(0, 1).cpu().numpy()
        parts = [
            self._score(samples[start : start + _BATCH]) for start in range(0, len(samples), _BATCH)
        ]
        return HostScores(np.concatenate(parts).reshape(checked.shape[:2]).astype(np.float64))

    def _wrapped(self, **arguments: Any) -> Any:
        module, _, name = self.wraps.rpartition(".")
        return getattr(import_module(module), name)(**arguments)

    def _make(self, samples: np.ndarray) -> Any:
        raise NotImplementedError

    def _score(self, samples: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _check_neighbours(self, neighbours: int, samples: np.ndarray) -> None:
        if neighbours > len(samples):
            raise ConfigError(
                f"{self.name}: {len(samples)} normal patches, {neighbours} neighbours"
            )


class NearestNeighboursHost(_SampleHost):
    """Distance to the ``k``-th nearest normal patch (``sklearn.neighbors.NearestNeighbors``).

    Parameters
    ----------
    neighbours : int
        k.
    metric : str
        As scikit-learn names it.

    Raises
    ------
    HostError
        If scikit-learn is not installed.
    ConfigError
        If ``neighbours`` is below 1.
    """

    name = "patch_nn"
    settings = ("neighbours", "metric")
    wraps = "sklearn.neighbors.NearestNeighbors"

    def __init__(self, neighbours: int = 1, metric: str = "euclidean") -> None:
        super().__init__()
        self.neighbours, self.metric = positive("neighbours", neighbours), metric

    def _make(self, samples: np.ndarray) -> Any:
        self._check_neighbours(self.neighbours, samples)
        return self._wrapped(n_neighbors=self.neighbours, metric=self.metric, algorithm="brute")

    def _score(self, samples: np.ndarray) -> np.ndarray:
        return self.estimator.kneighbors(samples)[0][:, -1]


class LocalOutlierFactorHost(_SampleHost):
    """Local outlier factor of each patch among the normal ones (``novelty=True``).

    Parameters
    ----------
    neighbours : int

    Raises
    ------
    HostError
        If scikit-learn is not installed.
    ConfigError
        If ``neighbours`` is below 1.
    """

    name = "lof"
    settings = ("neighbours",)
    wraps = "sklearn.neighbors.LocalOutlierFactor"

    def __init__(self, neighbours: int = 20) -> None:
        super().__init__()
        self.neighbours = positive("neighbours", neighbours)

    def _make(self, samples: np.ndarray) -> Any:
        self._check_neighbours(self.neighbours + 1, samples)
        return self._wrapped(n_neighbors=self.neighbours, novelty=True, algorithm="brute")

    def _score(self, samples: np.ndarray) -> np.ndarray:
        return -self.estimator.score_samples(samples)


class PCAResidualHost(_SampleHost):
    """Distance of a patch from the principal subspace of the normal ones (``PCA``).

    Parameters
    ----------
    variance : float
        Share of the variance that the subspace keeps, strictly between 0 and 1; so a restriction
        to fewer channels needs no other setting.

    Raises
    ------
    HostError
        If scikit-learn is not installed.
    ConfigError
        If the share is out of range.
    """

    name = "pca_residual"
    settings = ("variance",)
    wraps = "sklearn.decomposition.PCA"

    def __init__(self, variance: float = 0.95) -> None:
        super().__init__()
        if not 0 < variance < 1:
            raise ConfigError(f"the share of variance must lie between 0 and 1, not {variance}")
        self.variance = variance

    def _make(self, samples: np.ndarray) -> Any:
        return self._wrapped(n_components=self.variance, svd_solver="full")

    def _score(self, samples: np.ndarray) -> np.ndarray:
        rebuilt = self.estimator.inverse_transform(self.estimator.transform(samples))
        return np.linalg.norm(samples - rebuilt, axis=1)


def positive(what: str, number: int) -> int:
    """Refuse a number below 1.

    Raises
    ------
    ConfigError
        If it is.
    """
    if number < 1:
        raise ConfigError(f"{what} must be at least 1, not {number}")
    return int(number)
