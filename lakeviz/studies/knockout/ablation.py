"""``Ablation``: which neurons are knocked out, where and how. Plain data, saved with results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from lakeviz.errors import ConfigError
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics.measurement import Measurement

KINDS: tuple[str, ...] = ("score", "forward", "weights")
TOKENS: tuple[str, ...] = ("all", "patch", "cls")
REFERENCES: tuple[str, ...] = ("zero", "mean", "resample")


@dataclass(frozen=True)
class Ablation:
    """Neurons of one hook point that are knocked out, and how.

    Parameters
    ----------
    point : str
        Hook point.
    neurons : tuple of int
        Channels; kept in ascending order, so that equal sets are equal ablations.
    kind : str
        ``"score"``: dropped from gallery and query alone, the network is untouched.
        ``"forward"``: the activation is replaced at its hook point and the rest of the network
        runs on. ``"weights"``: the weights that write the channel are removed.
    tokens : str
        ``"all"``, ``"patch"`` or ``"cls"``: where the activation is replaced (``forward`` only).
    reference : str
        What replaces it (``forward`` only): ``"zero"``, ``"mean"`` (of the normal images' tokens),
        ``"resample"`` (values of other normal tokens, drawn by the seed).

    Raises
    ------
    ConfigError
        On an unknown word, a neuron named twice or below 0, or a token set or reference that the
        kind does not have.
    """

    point: str
    neurons: tuple[int, ...]
    kind: str = "score"
    tokens: str = "all"
    reference: str = "zero"

    def __post_init__(self) -> None:
        for name, value, known in (
            ("kind", self.kind, KINDS),
            ("tokens", self.tokens, TOKENS),
            ("reference", self.reference, REFERENCES),
        ):
            if value not in known:
                raise ConfigError(
                    f"{name} of an ablation must be one of {', '.join(known)}, not {value!r}"
                )
        if self.kind != "forward" and (self.tokens, self.reference) != ("all", "zero"):
            raise ConfigError(
                f"a {self.kind} knock-out drops its neurons from all tokens: tokens and reference "
                "are choices of the forward kind"
            )
        ordered = tuple(sorted(int(n) for n in self.neurons))
        if len(set(ordered)) != len(ordered):
            raise ConfigError(f"{self.point}: a neuron is named twice in {ordered}")
        if ordered and ordered[0] < 0:
            raise ConfigError(f"{self.point}: neurons are counted from 0, not {ordered[0]}")
        object.__setattr__(self, "neurons", ordered)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return asdict(self) | {"neurons": list(self.neurons)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Ablation:
        """Restore what :meth:`to_dict` gave."""
        return cls(**{**data, "neurons": tuple(data["neurons"])})


Condition = tuple[Ablation, ...]
"""What is knocked out at once: at most one ablation per hook point, all of one kind."""


@dataclass(frozen=True)
class Knocked:
    """Scores of the test images under one condition.

    Attributes
    ----------
    maps : mapping of part to float array [image, row, column]
        Patch maps: ``"visual"`` and, with a text branch, ``"text"`` and ``"lake"`` (fused).
    image_scores : mapping of part to float array [image]
        Parts that have no map: ``"embedding"`` (distance of the image embedding to the nearest
        normal one) and, with text, ``"text_image"``.
    """

    maps: Mapping[str, Float[np.ndarray, "image row column"]]
    image_scores: Mapping[str, Float[np.ndarray, " image"]]

    def measure(self, evaluator: PairedEvaluator) -> dict[str, Measurement]:
        """Measure every part."""
        measured = {part: evaluator.measure(maps) for part, maps in self.maps.items()}
        for part, scores in self.image_scores.items():
            measured[part] = evaluator.measure_scores(scores)
        return measured


class Engine(Protocol):
    """Carries knock-outs of one kind out on one category.

    The detector reads all channels of its hook points (``base="all"``) or its own selection
    (``base="selected"``); either is chosen once, on the intact network.
    """

    kind: str

    @property
    def points(self) -> tuple[str, ...]:
        """Hook points at which neurons are knocked out."""
        ...

    def candidates(self, point: str) -> np.ndarray:
        """Channels of a point that can be knocked out: all, or those of the base."""
        ...

    def run(self, conditions: Sequence[Condition]) -> list[Knocked]:
        """Score the test images under each condition; the empty one is the intact detector."""
        ...

    def impossible(self, condition: Condition, part: str) -> str:
        """Why a condition cannot change a part, by construction; empty where it can."""
        ...
