"""Settings of a detector, as plain data that is saved with every result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from lakeviz.data.streams import IMAGE, check_stream, frames_before
from lakeviz.documents import restored
from lakeviz.errors import ConfigError, nearest
from lakeviz.lake.prompts import PromptEnsemble
from lakeviz.lake.selectors import NeuronNumbers, neurons_named, selector_of
from lakeviz.settings import check_choice, check_pixels, check_smoothing, check_types

DEFAULT_TEXT_WEIGHT = 0.3
DISTANCES: tuple[str, ...] = ("cosine", "euclidean")
KINDS: tuple[str, ...] = ("none", "layernorm", "l2", "zscore")
STAGES: tuple[str, ...] = ("before", "after")
REFERENCES: tuple[str, ...] = ("gallery", "prototype")
SCOPES: tuple[str, ...] = ("layer", "joint")
ATTENTIONS: tuple[str, ...] = ("plain", "value_value")
DROP_TOKENS: tuple[str, ...] = ("none", "selection", "gallery", "both")

DropChannels = str | float | tuple[int, ...] | None


@dataclass(frozen=True)
class Normalisation:
    """How tokens are normalised, and whether before or after the neurons are selected.

    ``layernorm`` gives each token zero mean and unit variance over its channels, ``l2`` unit
    length, ``zscore`` standardises each channel with the mean and deviation of the normal tokens.
    ``before`` uses all channels of the token, ``after`` the selected ones only. (For ``zscore`` of
    neurons the two are the same; ``after`` standardises a subspace along its own axes.)

    Raises
    ------
    ConfigError
        On an unknown kind or stage.
    """

    kind: str = "none"
    stage: str = "before"

    def __post_init__(self) -> None:
        check_choice("normalisation", self.kind, KINDS)
        check_choice("normalisation stage", self.stage, STAGES)


def check_search(distance: str, neighbours: int, memory_mb: float) -> None:
    """Refuse settings that no gallery can serve.

    Raises
    ------
    ConfigError
        On an unknown distance, fewer than one neighbour, or no memory.
    """
    check_choice("distance", distance, DISTANCES)
    if neighbours < 1:
        raise ConfigError(f"neighbours must be at least 1, not {neighbours}")
    if not memory_mb > 0:
        raise ConfigError(f"the search needs memory_mb above 0, not {memory_mb}")


@dataclass(frozen=True)
class VisualOptions:
    """How normal patch tokens are stored and compared.

    Parameters
    ----------
    distance : str
        ``"cosine"`` or ``"euclidean"``.
    neighbours : int
        The score is the mean distance to this many nearest normal tokens.
    normalisation : Normalisation
    coreset : float
        Share of the normal tokens kept, in (0, 1]; below 1 by greedy coreset.
    memory_mb : float
        Block size of the search.
    center : bool
        Subtract from every token, at each hook point, the mean of the normal patch tokens of the
        fit, before any normalisation and selection. The cosine distance is then that of deviations
        from the mean: centred cosine. Euclidean distances to a gallery do not change by it.
    reference : str
        ``"gallery"``: the nearest normal tokens. ``"prototype"``: the mean of the normal tokens, as
        they are compared (normalised and selected); it has no neighbours and no coreset.

    Raises
    ------
    ConfigError
        If one of them is out of range, or a prototype is asked for with more than one neighbour, a
        coreset, or a cosine distance of centred tokens, whose mean is zero.
    """

    LATER = frozenset({"center", "reference"})
    """Settings that results of earlier versions do not have."""

    distance: str = "cosine"
    neighbours: int = 1
    normalisation: Normalisation = field(default_factory=Normalisation)
    coreset: float = 1.0
    memory_mb: float = 32.0
    center: bool = False
    reference: str = "gallery"

    def __post_init__(self) -> None:
        check_types(self)
        check_choice("the reference", self.reference, REFERENCES)
        if self.reference == "prototype":
            self._check_prototype()
        if not 0 < self.coreset <= 1:
            raise ConfigError(f"the coreset share must be in (0, 1], not {self.coreset}")
        check_search(self.distance, self.neighbours, self.memory_mb)

    def _check_prototype(self) -> None:
        if self.neighbours != 1 or self.coreset != 1:
            raise ConfigError(
                "a prototype is a single token: it takes neighbours=1 and coreset=1, not "
                f"{self.neighbours} and {self.coreset}"
            )
        kind = self.normalisation.kind
        centred = kind == "zscore" or (self.center and kind == "none")
        if self.distance == "cosine" and centred:
            raise ConfigError(
                "the mean of centred tokens is zero, and no cosine to it is defined; use "
                "distance='euclidean' or reference='gallery'"
            )


@dataclass(frozen=True)
class TextOptions:
    """Prompts, layer and attention of the text branch.

    Parameters
    ----------
    prompts : PromptEnsemble
    layer : int, optional
        Block whose residual stream is projected into the joint space; the last by default.
    attention : str
        ``"plain"`` projects the tokens as they are; ``"value_value"`` those of a parallel path with
        value-value attention in the last ``value_blocks`` blocks (arXiv 2304.05653), whatever
        ``layer`` is.
    value_blocks : int
        Blocks of the parallel path.

    Raises
    ------
    ConfigError
        On an unknown attention.
    """

    prompts: PromptEnsemble = field(default_factory=PromptEnsemble)
    layer: int | None = None
    attention: str = "plain"
    value_blocks: int = 6

    def __post_init__(self) -> None:
        check_types(self)
        check_choice("text attention", self.attention, ATTENTIONS)


@dataclass(frozen=True)
class ImageScoreRule:
    """How a patch map becomes one number per image.

    Parameters
    ----------
    name : str
        ``"max"`` (LAKE's, to catch sparse defects) or ``"top_mean"``, the mean of the highest
        ``fraction`` of the patches (at least one).
    fraction : float
        Share of patches for ``"top_mean"``, in (0, 1].
    """

    name: str = "max"
    fraction: float = 0.01

    def __post_init__(self) -> None:
        check_types(self)
        check_choice("image score rule", self.name, ("max", "top_mean"))
        if not 0 < self.fraction <= 1:
            raise ConfigError(f"the fraction of patches must be in (0, 1], not {self.fraction}")

    def __call__(self, maps: Float[np.ndarray, "image row column"]) -> Float[np.ndarray, " image"]:
        """Reduce patch maps to image scores."""
        flat = maps.reshape(len(maps), -1)
        if self.name == "max":
            return flat.max(axis=1)
        n = max(1, round(self.fraction * flat.shape[1]))
        return np.partition(flat, -n, axis=1)[:, -n:].mean(axis=1)

    def describe(self) -> str:
        """Name the rule as results state it."""
        return "max" if self.name == "max" else f"mean of the top {self.fraction:.3g} of patches"


@dataclass(frozen=True)
class LakeOptions:
    """All settings of a detector but the model; plain data, saved with every result.

    Parameters
    ----------
    k : int, optional
        Neurons selected: per hook point, or of all hook points together where ``selection_scope``
        is ``"joint"``. By default 100 per hook point, but at most an eighth of the channels of the
        narrowest one: see :func:`lakeviz.lake.layers.default_k`.
    layers : tuple of int or str, optional
        Blocks (their ``hook_resid_post``) or hook points; by default those measured best for the
        architecture, see :func:`lakeviz.lake.layers.default_layers`.
    selector : str, mapping or function
        A registered selector; neurons by hook point, ``{"blocks.5.hook_resid_post": [3, 17]}``,
        from which ``layers`` and ``k`` follow (of unequal numbers ``k`` is the total, and controls
        are selected jointly); or a selector's function.
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
    drop_channels : "massive", float or tuple of int, optional
        Channels that no selection takes, of the detector or of a control: at each hook point those
        that hold more than half of the variance (``"massive"``) or more than a share of it, one
        after the other; or the channels named. Normalisations of whole tokens still see them.
    drop_tokens : str
        Where normal tokens with a massive activation are left out
        (:mod:`lakeviz.activations.massive`): ``"none"``, ``"selection"`` (of the statistics that
        channels are selected by), ``"gallery"`` or ``"both"``. Test tokens are always scored.
    selection_scope : str
        ``"layer"`` selects ``k`` channels at each hook point. ``"joint"`` selects ``k`` in total,
        those that the selector ranks highest among the channels of all hook points (by raw
        variance: a hook point of larger activations gets more). Hook points without a channel take
        no part.
    streams : tuple of str
        Sources of patch tokens, see :mod:`lakeviz.data.streams`: ``"image"``; ``"change_N"``,
        ``"deviation_N"`` and ``"log_deviation_N"``, over frames of clips; ``"depth"``,
        ``"normals"`` and ``"curvature"``, renderings of the depth map. Each layer is read on each
        stream. Where there are several, distances at each hook point are divided by those of
        held-out normal patches, so that no stream outweighs another by its scale.
    frame_smoothing : float
        Gaussian standard deviation on the scores of frames over time, in frames; the table of clips
        then shows the smoothed scores beside the others.

    Raises
    ------
    ConfigError
        If one of them is out of range.
    """

    LATER = frozenset(
        {"selection_scope", "drop_channels", "drop_tokens", "streams", "frame_smoothing"}
    )
    """Settings that results of earlier versions do not have."""

    # None until the width of the tower is known; detectors and study data always hold a number.
    k: int = None  # type: ignore[assignment]
    layers: tuple[int | str, ...] | None = None
    selector: str = "variance"  # neurons by hook point or a function become their name
    text_weight: float | None = None
    visual: VisualOptions = field(default_factory=VisualOptions)
    text: TextOptions = field(default_factory=TextOptions)
    image_score: ImageScoreRule = field(default_factory=ImageScoreRule)
    smoothing: float = 0.0
    map_size: tuple[int, int] | None = None
    seed: int = 0
    drop_channels: DropChannels = None
    drop_tokens: str = "none"
    selection_scope: str = "layer"
    streams: tuple[str, ...] = (IMAGE,)
    frame_smoothing: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "selector", selector_of(self.selector))
        check_types(self)
        if (named := neurons_named(self.selector)) is not None:
            self._settle_named(named)
        self._check_streams()
        _check_drops(self.drop_channels, self.drop_tokens)
        check_choice("selection_scope", self.selection_scope, SCOPES)
        if self.text_weight is not None and not 0 <= self.text_weight <= 1:
            raise ConfigError(f"the text weight must be between 0 and 1, not {self.text_weight}")
        check_smoothing(self.smoothing)
        if not 0 <= self.frame_smoothing <= 1000:
            raise ConfigError(
                f"frame smoothing must be between 0 and 1000 frames, not {self.frame_smoothing}"
            )
        if self.seed < 0:
            raise ConfigError(f"the seed must be 0 or more, not {self.seed}")
        if self.map_size is not None:
            if len(self.map_size) != 2:
                raise ConfigError(f"the map size must be (height, width), not {self.map_size}")
            check_pixels(self.map_size, "map size")

    def _check_streams(self) -> None:
        if not self.streams:
            raise ConfigError("no stream was named; the picture itself is the stream image")
        for stream in self.streams:
            check_stream(stream)
        if any(map(frames_before, self.streams)) and self.visual.distance != "euclidean":
            raise ConfigError(
                "a change is measured by its length, which cosine ignores; streams of changes need "
                "distance='euclidean' (--distance euclidean)"
            )

    def _settle_named(self, named: NeuronNumbers) -> None:
        """Let layers and k follow from neurons that were named, and refuse others."""
        sizes = [len(channels) for channels in named.values()]
        scope = "layer" if len(set(sizes)) == 1 else "joint"
        k = sizes[0] if scope == "layer" else sum(sizes)
        if self.k not in (None, k):
            raise ConfigError(f"k is {self.k}, and {k} neurons are named; leave k out")
        if self.layers is not None and set(self.layers) != set(named):
            raise ConfigError(
                f"layers are {', '.join(map(str, self.layers))}, and neurons are named of "
                f"{', '.join(named)}; leave layers out"
            )
        settled = {"k": k, "layers": tuple(named), "selection_scope": scope}
        for name, value in settled.items():
            object.__setattr__(self, name, value)

    @classmethod
    def named(cls, options: Mapping[str, Any]) -> LakeOptions:
        """Options by name; a ConfigError says of an unknown one which is near, or where it is."""
        known = {f.name: f.default_factory for f in fields(cls)}
        for name in set(options) - set(known):
            hint = nearest(name, known)
            for group, own in known.items():
                if is_dataclass(own) and name in own.__dataclass_fields__ and not hint:
                    hint = f"; it is set as {group}={own.__name__}({name}=...)"
            raise ConfigError(f"LAKE has no option {name!r}{hint}")
        return cls(**options)

    def reading(self, selector: str) -> LakeOptions:
        """Return the same settings with the neurons of a selector that names them."""
        return replace(self, selector=selector, k=None, layers=None)

    @property
    def weight_with_text(self) -> float:
        """Weight of the text branch where there is one: the default where none was named."""
        return DEFAULT_TEXT_WEIGHT if self.text_weight is None else self.text_weight

    @property
    def drops_from_selection(self) -> bool:
        """Whether massive tokens are left out of the statistics."""
        return self.drop_tokens in ("selection", "both")

    @property
    def drops_from_gallery(self) -> bool:
        """Whether massive tokens are left out of the gallery."""
        return self.drop_tokens in ("gallery", "both")

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> LakeOptions:
        """Restore settings from JSON types; see :func:`lakeviz.lake.provenance.as_plain`.

        Raises
        ------
        ConfigError
            If a setting is missing, unknown or impossible.
        """
        return restored(cls, data, "options")


def _check_drops(channels: DropChannels, tokens: str) -> None:
    check_choice("drop_tokens", tokens, DROP_TOKENS)
    if channels is None or channels == "massive":
        return
    indices = isinstance(channels, tuple) and all(type(channel) is int for channel in channels)
    if not indices and not (isinstance(channels, float) and 0 < channels < 1):
        raise ConfigError(
            'drop_channels must be "massive", a share of the variance between 0 and 1, or a tuple '
            f"of channels, not {channels!r}"
        )
