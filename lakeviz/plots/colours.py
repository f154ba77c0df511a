"""Colours of scores: one scale for all images of a category, made from its normal images."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from plotly.colors import sample_colorscale, sequential, unlabel_rgb

from lakeviz.errors import ConfigError, MetricError
from lakeviz.plots.template import counted

COLOUR_SCALE = sequential.Inferno
"""Perceptually uniform, readable in grey and with colour blindness."""

TICKS = (0.0, 0.5, 0.75, 0.95)
"""Places on the scale that a colour bar labels."""

_MIDDLE_QUANTILE = 0.995


@dataclass(frozen=True)
class ColourRange:
    """Which score has which colour.

    The first half of the colour scale is linear from ``low`` to ``middle``, the range of normal
    patches. The second half becomes ever less steep, so that scores far above normal still differ:
    with z = (score - low) / (middle - low), a score lies at z / 2 up to the middle and at
    1 - 1 / (2 z) above it. Both branches meet with equal slope.

    Attributes
    ----------
    low, middle : float
        Scores at the start and in the middle of the scale.
    rule : str
        How they were found, for the caption.

    Raises
    ------
    ConfigError
        ``low`` is not below ``middle``, or one of them is not finite.
    """

    low: float
    middle: float
    rule: str

    def __post_init__(self) -> None:
        if not (np.isfinite([self.low, self.middle]).all() and self.low < self.middle):
            raise ConfigError(f"a colour range from {self.low} to {self.middle} is empty")

    def place(self, scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Places of scores on the colour scale, in [0, 1)."""
        z = (np.asarray(scores, dtype=float) - self.low) / (self.middle - self.low)
        return np.where(z <= 1, np.clip(z, 0, 1) / 2, 1 - 1 / (2 * np.maximum(z, 1)))

    def score(self, place: float) -> float:
        """Score at a place below 1 on the scale; the reverse of :meth:`place`."""
        z = 2 * place if place <= 0.5 else 1 / (2 * (1 - place))
        return self.low + z * (self.middle - self.low)

    def bar(self, title: str) -> dict[str, Any]:
        """Colour bar of places on the scale, labelled with their scores."""
        return {
            "title": {"text": title, "side": "right"},
            "thickness": 12,
            "tickvals": TICKS,
            "ticktext": [f"{self.score(tick):.3g}" for tick in TICKS],
        }

    @property
    def decimals(self) -> int:
        """Decimals that distinguish scores: three digits of the range."""
        return int(np.clip(2 - np.floor(np.log10(self.middle - self.low)), 0, 9))


def colour_range(
    patch_scores: Float[np.ndarray, "image row column"], labels: np.ndarray
) -> ColourRange:
    """One colour range for all images of a category, from the normal images alone.

    The scale starts at the median score of normal patches, and its middle is the score that one
    normal patch in 200 exceeds. A normal image therefore looks dark unless it is unusual, and
    colours mean the same in every image. Never scaled per image, which would make every normal
    image look defective.

    Parameters
    ----------
    patch_scores : float array [image, row, column]
    labels : int array [image]
        0 for normal images.

    Returns
    -------
    ColourRange
        The same quantiles of all patches where there is no normal image; its rule says so.

    Raises
    ------
    MetricError
        There is no image, or a score is not finite.
    """
    patch_scores, labels = np.asarray(patch_scores, dtype=float), np.asarray(labels)
    if not patch_scores.size or not np.isfinite(patch_scores).all():
        raise MetricError("a colour range needs at least one image and finite scores")
    normal = patch_scores[labels == 0]
    used = normal if len(normal) else patch_scores
    low, middle = (float(q) for q in np.quantile(used, [0.5, _MIDDLE_QUANTILE]))
    # Constant scores still need two ends.
    middle = max(middle, low + 1e-6 * max(abs(low), 1e-6))
    rule = (
        f"from the median patch of {counted(len(normal), 'normal test image')}; the middle is "
        "what 1 in 200 of these patches exceeds"
        if len(normal)
        else f"there is no normal test image, so from the median patch of all {len(used):,}; the "
        "middle is what 1 in 200 of these patches exceeds"
    )
    return ColourRange(low, middle, rule)


def heat_layer(
    pixel_map: Float[np.ndarray, "*shape"], colours: ColourRange
) -> UInt8[np.ndarray, "*shape 3"]:
    """Colour a score map."""
    return _lookup()[np.rint(255 * colours.place(pixel_map)).astype(np.uint8)]


@cache
def _lookup() -> UInt8[np.ndarray, "colour 3"]:
    sampled = sample_colorscale(COLOUR_SCALE, np.linspace(0, 1, 256).tolist())
    return np.rint([unlabel_rgb(colour) for colour in sampled]).astype(np.uint8)
