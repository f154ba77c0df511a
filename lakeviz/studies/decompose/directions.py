"""Directions along which outputs are decomposed, each with random ones made the same way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.errors import ConfigError, MetricError, TextBranchError
from lakeviz.lake.prompts import PromptEnsemble

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

CLASS = "class:"
DIRECTIONS: tuple[str, ...] = ("text", "class-means", f"{CLASS}NAME")

Draw = Callable[[int, np.random.Generator], Float[Tensor, "draw out"]]


@dataclass(frozen=True)
class Direction:
    """A direction of unit length, and how random ones of unit length are drawn beside it.

    Attributes
    ----------
    vector : Tensor [out]
    source : str
        What it is, for captions.
    controls : str
        What the random ones are.
    draw : callable
        ``draw(n, generator)`` gives n of them, ``[n, out]``.
    """

    vector: Float[Tensor, " out"]
    source: str
    controls: str
    draw: Draw = field(repr=False)


def text_direction(
    model: VisionModel, class_name: str, prompts: PromptEnsemble | None = None
) -> Direction:
    """Mean embedding of the anomalous prompts minus that of the normal ones, at unit length.

    Both means are of unit vectors, and normalised, as in the text branch of the detector. A random
    direction is the difference of two random prompts of one state: as much in the space of texts,
    and it says nothing of anomalies.

    Raises
    ------
    TextBranchError
        If the model has no text encoder.
    """
    if model.text is None:
        raise TextBranchError(
            f"{model.name} has no text encoder, so there is no direction from prompts; give one of "
            "your own, or direction='class-means' (from labelled images that are then held out)"
        )
    prompts = prompts or PromptEnsemble()
    normal, anomalous = (
        model.text.encode(texts).float().cpu()
        for texts in (prompts.normal(class_name), prompts.anomalous(class_name))
    )
    means = [F.normalize(vectors.mean(0), dim=0) for vectors in (normal, anomalous)]
    states = [torch.unique(vectors, dim=0) for vectors in (normal, anomalous)]
    states = [vectors for vectors in states if len(vectors) > 1]
    if not states:
        raise TextBranchError(
            "the difference of random prompts needs two prompts of one state that differ; give "
            "more state words or templates"
        )

    def draw(n: int, generator: np.random.Generator) -> Tensor:
        found = []
        for _ in range(n):
            vectors = states[generator.integers(len(states))]
            i, j = generator.choice(len(vectors), 2, replace=False)
            found.append(F.normalize(vectors[i] - vectors[j], dim=0))
        return torch.stack(found)

    return Direction(
        _unit(means[1] - means[0], "the anomalous and the normal prompts"),
        f"anomalous minus normal prompts of {class_name!r}",
        "differences of two random prompts of one state",
        draw,
    )


def class_direction(model: VisionModel, name: str) -> Direction:
    """Row of a class in the class head minus the mean row, at unit length.

    A random direction is that of another class.

    Raises
    ------
    ConfigError
        If the model has no class head with names, or no such class.
    """
    head = model.class_head
    if head is None or not head.names:
        raise ConfigError(
            f"{model.name} has no class head with names, so no direction {CLASS}{name}; load a "
            "timm classifier from its weights file"
        )
    vector = head.vectors([name])[0]
    others = [other for other in head.names if other != name]

    def draw(n: int, generator: np.random.Generator) -> Tensor:
        return head.vectors([others[i] for i in generator.integers(len(others), size=n)])

    return Direction(
        vector, f"class {name!r} of the class head ({head.source})", "other classes", draw
    )


def class_mean_direction(
    embeddings: Float[Tensor, "image out"], labels: Int[np.ndarray, " image"]
) -> Direction:
    """Mean unit embedding of anomalous images minus that of normal ones, at unit length.

    The images must not be among those that are measured along it afterwards. A random direction is
    the same difference after the labels were shuffled.

    Raises
    ------
    MetricError
        If there are no images of one class.
    """
    labels = np.asarray(labels)
    if not 0 < int((labels != 0).sum()) < len(labels):
        raise MetricError("a difference of class means needs normal and anomalous images")
    unit = F.normalize(embeddings.float(), dim=1)

    def between(of: np.ndarray) -> Tensor:
        anomalous = torch.from_numpy(of != 0)
        return unit[anomalous].mean(0) - unit[~anomalous].mean(0)

    def draw(n: int, generator: np.random.Generator) -> Tensor:
        return torch.stack(
            [F.normalize(between(generator.permutation(labels)), dim=0) for _ in range(n)]
        )

    return Direction(
        _unit(between(labels), "the means of anomalous and normal images"),
        f"class means of {len(labels)} held-out test images",
        "class means after the held-out labels were shuffled",
        draw,
    )


def given_direction(vector: Float[Tensor, " out"], width: int) -> Direction:
    """Take a direction of your own; random ones are uniform on the sphere.

    Raises
    ------
    ConfigError
        If it is not ``[width]``, not finite, or zero.
    """
    vector = torch.as_tensor(vector).detach().float().cpu()
    if tuple(vector.shape) != (width,) or not bool(vector.isfinite().all()):
        raise ConfigError(f"a direction is {width} finite numbers, not of shape {[*vector.shape]}")

    def draw(n: int, generator: np.random.Generator) -> Tensor:
        drawn = torch.from_numpy(generator.standard_normal((n, width))).float()
        return F.normalize(drawn, dim=1)

    return Direction(
        _unit(vector, "it and zero"), "the direction given", "random unit vectors", draw
    )


def _unit(vector: Tensor, what: str) -> Tensor:
    length = vector.norm()
    if float(length) < 1e-6:
        raise ConfigError(f"there is no direction between {what}: they are equal")
    return vector / length
