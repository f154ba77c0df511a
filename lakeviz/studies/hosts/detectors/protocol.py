"""What a host is: another detector that LAKE's neurons plug into.

Most detectors of local anomalies are functions of patch features; those need three methods
(:class:`PatchFeatureDetector`). Detectors that read whole images or text instead have the three of
:class:`ImageDetector`: they cannot be restricted to channels, but a score can be added to theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import HostError, NotFittedError

if TYPE_CHECKING:
    from lakeviz.studies.base.captured import StudyData


@dataclass(frozen=True)
class HostScores:
    """What a host says of some images.

    Attributes
    ----------
    patch : float array [image, patch]
        Row by row of the patch grid; higher is more anomalous.
    image : float array [image], optional
        Where the host scores whole images by a rule of its own. It must be in the units of
        ``patch``. Otherwise the detector's rule (the maximum, as a rule) is taken of the map.
    """

    patch: Float[np.ndarray, "image patch"]
    image: Float[np.ndarray, " image"] | None = None


@runtime_checkable
class PatchFeatureDetector(Protocol):
    """A detector that is a function of patch features: three methods.

    A new object is not needed for each fit: ``fit`` forgets what was fitted before.
    """

    def fit(self, features: Float[Tensor, "image patch channel"], grid: tuple[int, int]) -> object:
        """Learn from the patch features of normal images; ``grid`` is (rows, columns)."""
        ...

    def score(self, features: Float[Tensor, "image patch channel"]) -> HostScores:
        """Score the patches of test images."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Settings as plain values; ``name`` is among them."""
        ...


@runtime_checkable
class ImageDetector(Protocol):
    """A detector that reads images (or their text scores), not patch features: three methods."""

    def prepare(self, data: StudyData, images: Sequence[int]) -> object:
        """Get ready for the category, with some of its normal images."""
        ...

    def score_images(
        self, data: StudyData, images: Sequence[int], *, normal: bool = False
    ) -> HostScores:
        """Score some of the test images, or of the normal ones."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Settings as plain values; ``name`` is among them."""
        ...


Host = PatchFeatureDetector | ImageDetector


def name_of(host: Host) -> str:
    """Name of a host, as it describes itself.

    Raises
    ------
    HostError
        If it has none.
    """
    name = host.describe().get("name")
    if not isinstance(name, str) or not name:
        raise HostError(f"{type(host).__name__}.describe() must give a name for tables")
    return name


_LIBRARIES = {"anomalib": "anomalib", "sklearn": "scikit-learn"}


def require(module: str, host: str) -> None:
    """Refuse a host whose library is missing; the extra that brings it has the module's name.

    Raises
    ------
    HostError
        Says how to install it.
    """
    if find_spec(module) is None:
        raise HostError(
            f"the host {host!r} is {_LIBRARIES[module]}'s, which is not installed: "
            f'pip install "lakeviz[{module}]"'
        )


class Adapter:
    """What all adapters share: settings are attributes, and describe them."""

    name: ClassVar[str]
    settings: ClassVar[tuple[str, ...]]
    wraps: ClassVar[str]
    """What it adapts, by its path."""

    def describe(self) -> dict[str, Any]:
        """Settings as plain values."""
        own = {name: getattr(self, name) for name in self.settings}
        return {"name": self.name, **own, "wraps": self.wraps}


class FeatureHost(Adapter):
    """An adapter whose features are checked before they reach the wrapped library."""

    needs_positions = False
    """Whether a patch is compared with normal patches of its own position alone."""

    def __init__(self) -> None:
        self._fitted: tuple[int, int] | None = None
        self.grid: tuple[int, int] = (0, 0)

    def _accept(self, features: Tensor, grid: tuple[int, int]) -> Float[Tensor, "image patch c"]:
        """Check the features to fit on, and remember their shape."""
        features = self._finite(features)
        n_patches = features.shape[1]
        if grid[0] * grid[1] != n_patches:
            raise HostError(
                f"{self.name}: {n_patches} patches per image do not fill a grid of "
                f"{grid[0]} x {grid[1]}"
            )
        self._fitted, self.grid = (n_patches, features.shape[2]), grid
        return features

    def _query(self, features: Tensor) -> Float[Tensor, "image patch c"]:
        """Check the features to score."""
        if self._fitted is None:
            raise NotFittedError(f"{self.name} was asked to score before it was fitted")
        features = self._finite(features)
        patches, channels = self._fitted
        if features.shape[2] != channels:
            raise HostError(
                f"{self.name} was fitted on {channels} channels and was given {features.shape[2]}"
            )
        if features.shape[1] != patches:
            raise HostError(
                f"{self.name} was fitted on a grid of {patches} patches and was given "
                f"{features.shape[1]} per image"
            )
        return features

    def _finite(self, features: Tensor) -> Tensor:
        features = torch.as_tensor(features)
        if features.ndim != 3 or 0 in features.shape:
            raise HostError(
                f"{self.name}: features must be [image, patch, channel] with none of them empty, "
                f"not {tuple(features.shape)}"
            )
        features = features.detach().float()
        if not torch.isfinite(features).all():
            raise HostError(f"{self.name}: features hold NaN or infinite values")
        return features
