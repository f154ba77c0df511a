"""anomalib's PatchCore and PaDiM as hosts: their models, fed with our patch features.

Both models of anomalib end in a feature extractor of their own, whose weights would come from the
network. Here the extractor hands on the features that are given; all else is anomalib's code. Its
upsampling and smoothing of maps are left out: maps stay at the patches and are brought to pixels as
LAKE's are, so that hosts and LAKE differ in what they score and not in how maps are drawn.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from lakeviz.errors import ConfigError
from lakeviz.studies.hosts.detectors.protocol import FeatureHost, HostScores, require
from lakeviz.studies.hosts.detectors.sklearn_hosts import positive

# Any backbone serves: it is built without weights and thrown away at once. This one is small.
_BACKBONE, _LAYER = "lcnet_035", "blocks.0"
_BATCH = 64  # images


class _Given(nn.Module):
    """In place of a feature extractor: what comes in are the features."""

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Hand the feature maps [image, channel, row, column] on."""
        return {_LAYER: features}


class _PatchMap(nn.Module):
    """In place of PatchCore's map generator: patch scores as they are."""

    def forward(self, patch_scores: Tensor, image_size: Any = None) -> Tensor:
        """Hand the patch scores [image, 1, row, column] on."""
        return patch_scores


class _MapHost(FeatureHost):
    """A host that wraps a model of anomalib over feature maps [image, channel, row, column]."""

    def __init__(self, seed: int) -> None:
        require("anomalib", self.name)
        super().__init__()
        self.seed = seed
        self.model: Any = None

    def _maps(self, features: Tensor) -> Float[Tensor, "image channel row column"]:
        return features.mT.reshape(len(features), features.shape[2], *self.grid)

    def score(self, features: Float[Tensor, "image patch channel"]) -> HostScores:
        """Score the patches of some images."""
        checked = self._query(features)
        patch, image = [], []
        with torch.inference_mode():
            for batch in self._maps(checked).split(_BATCH):
                maps, scores = self._score(batch)
                patch.append(maps.flatten(1).cpu().numpy().astype(np.float64))
                if scores is not None:
                    image.append(scores.cpu().numpy().astype(np.float64))
        return HostScores(np.concatenate(patch), np.concatenate(image) if image else None)

    def _score(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        raise NotImplementedError


class PatchCoreHost(_MapHost):
    """anomalib's PatchCore: pooled 3 x 3 features, greedy coreset, nearest neighbour.

    Image scores are PatchCore's own: the largest patch score, weighted by how crowded the memory is
    around its neighbour.

    Parameters
    ----------
    coreset : float
        Share of the normal patches that the memory bank keeps, in (0, 1].
    neighbours : int
        Neighbours that weight the image score; 1 takes the largest patch score as it is.
    seed : int
        Of the random projection and the first patch of the coreset.

    Raises
    ------
    HostError
        If anomalib is not installed.
    ConfigError
        If a setting is out of range.
    """

    name = "patchcore"
    settings = ("coreset", "neighbours", "seed")
    wraps = "anomalib.models.image.patchcore.torch_model.PatchcoreModel"

    def __init__(self, coreset: float = 0.1, neighbours: int = 9, seed: int = 0) -> None:
        super().__init__(seed)
        if not 0 < coreset <= 1:
            raise ConfigError(f"the coreset share must be in (0, 1], not {coreset}")
        self.coreset, self.neighbours = coreset, positive("neighbours", neighbours)

    def fit(
        self, features: Float[Tensor, "image patch channel"], grid: tuple[int, int]
    ) -> PatchCoreHost:
        """Remember a coreset of the patches of normal images."""
        maps = self._maps(self._accept(features, grid))
        with _seeded(self.seed):
            source = import_module("anomalib.models.image.patchcore.torch_model")
            model = source.PatchcoreModel(
                [_LAYER], _BACKBONE, pre_trained=False, num_neighbors=self.neighbours
            )
            model.feature_extractor, model.anomaly_map_generator = _Given(), _PatchMap()
            model.train()
            model(maps)
            # anomalib rounds down, and refuses to keep none.
            model.subsample_embedding(
                max(self.coreset, 1.01 / (maps.shape[0] * maps[0, 0].numel()))
            )
        self.model = model.eval()
        return self

    def _score(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        found = self.model(maps)
        return found.anomaly_map, found.pred_score


class PadimHost(_MapHost):
    """anomalib's PaDiM: a Gaussian at each patch position, Mahalanobis distance to it.

    Parameters
    ----------
    features : int, optional
        Channels drawn at random, as the paper does; all by default. Where there are fewer, all.
    seed : int
        Of that draw.

    Raises
    ------
    HostError
        If anomalib is not installed.
    ConfigError
        If ``features`` is below 1, or there is a single normal image: it has no covariance.
    """

    name = "padim"
    settings = ("features", "seed")
    wraps = "anomalib.models.image.padim.torch_model.PadimModel"
    needs_positions = True

    def __init__(self, features: int | None = None, seed: int = 0) -> None:
        super().__init__(seed)
        self.features = None if features is None else positive("features", features)

    def fit(
        self, features: Float[Tensor, "image patch channel"], grid: tuple[int, int]
    ) -> PadimHost:
        """Fit a Gaussian at each position."""
        checked = self._accept(features, grid)
        if len(checked) < 2:
            raise ConfigError(
                "padim fits a covariance at each position over the normal images, and there is one"
            )
        n_channels = checked.shape[2]
        generator = torch.Generator().manual_seed(self.seed)
        kept = n_channels if self.features is None else min(self.features, n_channels)
        with _seeded(self.seed):
            source = import_module("anomalib.models.image.padim.torch_model")
            model = source.PadimModel(_BACKBONE, [_LAYER], pre_trained=False, n_features=1)
            model.feature_extractor = _Given()
            drawn = torch.randperm(n_channels, generator=generator)[:kept]
            model.idx = drawn if kept < n_channels else torch.arange(n_channels)
            model.train()
            model(self._maps(checked))
            model.fit()
        self.model = model.eval()
        return self

    def _score(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        embedding = self.model.generate_embedding(self.model.feature_extractor(maps))
        gaussian = self.model.gaussian
        stats = [gaussian.mean, gaussian.inv_covariance]
        return self.model.anomaly_map_generator.compute_distance(embedding, stats), None


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Run code that draws from the global generators and prints bars; leave neither changed."""
    level = logging.getLogger("anomalib").level
    quiet = warnings.catch_warnings()  # it warns of arguments that only its own calls give
    state = np.random.get_state()  # noqa: NPY002  (its random projection draws from this one)
    with torch.random.fork_rng(devices=[]), contextlib.redirect_stderr(io.StringIO()), quiet:
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        logging.getLogger("anomalib").setLevel(logging.ERROR)
        try:
            yield
        finally:
            logging.getLogger("anomalib").setLevel(level)
            np.random.set_state(state)  # noqa: NPY002
