"""Settings of a detector: plain data, so that a result can say what made it."""

from __future__ import annotations

from dataclasses import dataclass, field

from lakeviz.errors import ConfigError
from lakeviz.lake.score_maps import ImageScoreRule
from lakeviz.lake.text import TextOptions
from lakeviz.lake.visual import VisualOptions

DEFAULT_TEXT_WEIGHT = 0.3


@dataclass(frozen=True)
class LakeOptions:
    """All settings of a detector but the model; plain data, saved with every result.

    Parameters
    ----------
    k : int
        Neurons selected per hook point.
    layers : tuple of int or str, optional
        Blocks (their ``hook_resid_post``) or hook points; by default those measured best for the
        architecture, see :func:`lakeviz.lake.layers.default_layers`.
    selector : str
        A registered selector.
    text_weight : float, optional
        Share ``w`` of the text branch in ``(1 - w) visual + w text``; by default 0.3, and 0 where
        the tower has no text or its patch tokens have no place in the joint space. With 0 the text
        branch is off, and the tower stops after the deepest layer.
    visual : VisualOptions
    text : TextOptions
    image_score : ImageScoreRule
    smoothing : float
        Gaussian standard deviation on pixel maps, in pixels.
    map_size : (height, width), optional
        Size of pixel maps; the image's own by default.
    seed : int
        Seed of random selectors and of the coreset, 0 or more.

    Raises
    ------
    ConfigError
        If one of them is out of range.
    """

    k: int = 100
    layers: tuple[int | str, ...] | None = None
    selector: str = "variance"
    text_weight: float | None = None
    visual: VisualOptions = field(default_factory=VisualOptions)
    text: TextOptions = field(default_factory=TextOptions)
    image_score: ImageScoreRule = field(default_factory=ImageScoreRule)
    smoothing: float = 0.0
    map_size: tuple[int, int] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.text_weight is not None and not 0 <= self.text_weight <= 1:
            raise ConfigError(f"the text weight must be between 0 and 1, not {self.text_weight}")
        if self.smoothing < 0:
            raise ConfigError(f"smoothing must be 0 or more pixels, not {self.smoothing}")
        if self.seed < 0:
            raise ConfigError(f"the seed must be 0 or more, not {self.seed}")
        if self.map_size is not None and (len(self.map_size) != 2 or min(self.map_size) < 1):
            raise ConfigError(f"the map size must be (height, width), not {self.map_size}")
