"""Colours of scores: one scale for all images of a category, made from its normal images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from plotly.colors import sample_colorscale, sequential, unlabel_rgb

from lakeviz.errors import ConfigError, MetricError
from lakeviz.metrics import f1_max
from lakeviz.plots.template import faded
from lakeviz.wording import counted

COLOUR_SCALE = sequential.Inferno
"""Perceptually uniform, readable in grey and with colour blindness."""

_LEVELS = 64  # of colour and opacity in a picture
_STEPS = len(COLOUR_SCALE) - 1
HEAT = [[i / _STEPS, faded(one, i / _STEPS)] for i, one in enumerate(COLOUR_SCALE)]
"""The same, ever more opaque: a photograph shows in colour where scores are low."""

TICKS = (0.0, 0.5, 1.0)
"""Places on the scale that a colour bar labels."""

_QUANTILE = 0.995


@dataclass(frozen=True)
class ColourRange:
    """Which score has which colour: linear from ``low`` to ``high``, and cut at both.

    Attributes
    ----------
    low, high : float
        Scores at the start and at the end of the scale.
    rule : str
        How they were found, and what is cut, for the caption.

    Raises
    ------
    ConfigError
        ``low`` is not below ``high``, or one of them is not finite.
    """

    low: float
    high: float
    rule: str

    def __post_init__(self) -> None:
        if not (np.isfinite([self.low, self.high]).all() and self.low < self.high):
            raise ConfigError(f"a colour range from {self.low} to {self.high} is empty")

    def place(self, scores: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Places of scores on the colour scale, in [0, 1]."""
        return np.clip((np.asarray(scores, dtype=float) - self.low) / (self.high - self.low), 0, 1)

    def score(self, place: float) -> float:
        """Score at a place on the scale; the reverse of :meth:`place`."""
        return self.low + place * (self.high - self.low)

    def labels(self) -> list[str]:
        """What a colour bar says at :data:`TICKS`: its ends stand for all beyond them."""
        low, *middle, high = (f"{self.score(tick):.{self.decimals}f}" for tick in TICKS)
        return [f"≤ {low}", *middle, f"≥ {high}"]

    def bar(self, title: str) -> dict[str, Any]:
        """Colour bar of places on the scale, labelled with their scores."""
        return {
            "title": {"text": title, "side": "right"},
            "thickness": 12,
            "tickvals": TICKS,
            "ticktext": self.labels(),
        }

    @property
    def decimals(self) -> int:
        """Decimals that distinguish scores: three digits of the range."""
        return int(np.clip(2 - np.floor(np.log10(self.high - self.low)), 0, 9))


def colour_range(
    patch_scores: Float[np.ndarray, "image row column"],
    labels: np.ndarray,
    image_scores: Float[np.ndarray, " image"] | None = None,
) -> ColourRange:
    """One colour range for all images of a category.

    The scale is linear. It starts at the median score of normal patches and ends at the threshold
    of F1-max: what has the last colour makes an image count as anomalous. Colours mean the same in
    every image; scaled per image, every normal one would look defective.

    Parameters
    ----------
    patch_scores : float array [image, row, column]
    labels : int array [image]
        0 for normal images.
    image_scores : float array [image], optional
        The largest patch score of each image, of which the threshold is one. Without them (or where
        images are scored otherwise, or of one class) the scale ends at the score that one normal
        patch in 200 exceeds.

    Returns
    -------
    ColourRange
        With the quantiles of all patches where there is no normal image; its rule says so.

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
    low, high = (float(q) for q in np.quantile(used, [0.5, _QUANTILE]))
    end = "what 1 in 200 of them exceeds"
    threshold = _threshold(patch_scores, labels, image_scores)
    if threshold > low:
        high, end = threshold, "the F1-max threshold of images"
    # Constant scores still need two ends.
    high = max(high, low + 1e-6 * max(abs(low), 1e-6))
    share = 100 * float((patch_scores > high).mean())
    of = (
        counted(len(normal), "normal test image")
        if len(normal)
        else f"all {len(used):,} test images (none is normal)"
    )
    return ColourRange(
        low,
        high,
        f"linear from the median patch of {of} to {end}; the {share:.2g} % of patches above it, up "
        f"to {patch_scores.max():.3g}, have its last colour",
    )


def _threshold(
    patch_scores: np.ndarray, labels: np.ndarray, image_scores: np.ndarray | None
) -> float:
    """Threshold of F1-max in units of patch scores; NaN where there is none."""
    both = 0 < np.count_nonzero(labels) < len(labels)
    if image_scores is None or not both:
        return math.nan
    highest = patch_scores.reshape(len(patch_scores), -1).max(axis=1)
    if not np.allclose(highest, image_scores, rtol=1e-4, atol=1e-6):
        return math.nan
    return f1_max(image_scores, labels).threshold


def heat_layer(
    pixel_map: Float[np.ndarray, "*shape"], colours: ColourRange
) -> UInt8[np.ndarray, "*shape 3"]:
    """Colour a score map."""
    return _lookup()[np.rint(255 * colours.place(pixel_map)).astype(np.uint8)]


def heat_picture(
    pixel_map: Float[np.ndarray, "height width"], colours: ColourRange, size: tuple[int, int]
) -> Image.Image:
    """A score map to lay over a photograph, of (width, height): ever more opaque, as ``HEAT``."""
    places = Image.fromarray(colours.place(pixel_map).astype(np.float32))
    places = np.asarray(places.resize(size, Image.Resampling.BILINEAR))
    levels = np.linspace(0, 1, _LEVELS)
    made = Image.fromarray(np.rint((_LEVELS - 1) * places).astype(np.uint8), "P")
    made.putpalette(heat_layer(levels, ColourRange(0.0, 1.0, "")).tobytes())
    made.info["transparency"] = np.rint(255 * levels).astype(np.uint8).tobytes()
    return made


@cache
def _lookup() -> UInt8[np.ndarray, "colour 3"]:
    sampled = sample_colorscale(COLOUR_SCALE, np.linspace(0, 1, 256).tolist())
    return np.rint([unlabel_rgb(colour) for colour in sampled]).astype(np.uint8)
