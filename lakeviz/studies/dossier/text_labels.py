"""Text labels of neurons, how specific they are, and whether they are better than shuffled ones.

There are two sources. ``patches``: how close the words are to the highest patches of the neuron,
projected into the joint space. ``direction``: how close they are to the neuron's write direction.

Some words are close to everything, so a similarity says little. A word's *margin* for a neuron is
its similarity minus its mean over neurons, in units of its spread over neurons; the label is the
word of largest margin, and its *specificity* how far that lies above the neuron's mean margin over
all words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.metrics.estimates import rank_p_value

N_DIRECTIONS = 1000
ONE_IMAGE = "the highest patches lie in a single image, so no other image can confirm the label"
NO_OTHERS = "there is no other neuron whose label could be put in its place"
CONSTANT = "the neuron writes nothing that the projection passes on"

Similarity = Float[np.ndarray, "neuron word"]


@dataclass(frozen=True)
class Tested:
    """A neuron's label compared with its control.

    Attributes
    ----------
    value : float
        What is tested; ``patches``: the margin of the label on images it was not chosen on;
        ``direction``: its specificity.
    control : float array [control]
        The same of shuffled labels, or of random directions.
    reason : str
    n_patches, n_images : int
        Highest patches that the label is made of, and their images.
    """

    value: float = np.nan
    control: Float[np.ndarray, " control"] = field(default_factory=lambda: np.empty(0))
    reason: str = ""
    n_patches: int = 0
    n_images: int = 0

    def columns(self) -> dict[str, Any]:
        """Columns of the table."""
        known = np.isfinite(self.value) and self.control.size > 0
        spread = np.quantile(self.control, [0.025, 0.975]) if known else (np.nan, np.nan)
        return {
            "value": self.value,
            "control_mean": float(self.control.mean()) if known else np.nan,
            "control_quantile_low": float(spread[0]),
            "control_quantile_high": float(spread[1]),
            "n_controls": int(self.control.size) if known else 0,
            "p_value": rank_p_value(self.value, self.control) if known else np.nan,
            "reason": self.reason,
            "n_patches": self.n_patches,
            "n_images": self.n_images,
        }


def margins(similarity: Similarity, reference: Similarity | None = None) -> Similarity:
    """Similarities minus their mean over neurons, in units of their spread over neurons.

    ``reference`` gives mean and spread where they are to be those of other neurons. A word that is
    equally close to all neurons has margin 0.
    """
    known = similarity if reference is None else reference
    known = known[np.isfinite(known).all(axis=1)]
    if not len(known):
        return np.full(similarity.shape, np.nan)
    mean, spread = known.mean(axis=0), known.std(axis=0)
    gap = similarity - mean
    return np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 1e-9)


def specificity(margin: Similarity) -> Float[np.ndarray, " neuron"]:
    """How far the label's margin lies above the neuron's mean margin over all words."""
    return margin.max(axis=1) - margin.mean(axis=1)


def alternate(images: Int[np.ndarray, " patch"]) -> np.ndarray:
    """Which patches are of the first half of the images: every other one, in order of place."""
    first: dict[int, int] = {}
    for image in images.tolist():
        first.setdefault(image, len(first))
    return np.array([first[image] % 2 == 0 for image in images.tolist()])


def shuffled_tests(
    vectors: Sequence[Float[np.ndarray, "patch joint"]],
    images: Sequence[Int[np.ndarray, " patch"]],
    words: Float[np.ndarray, "word joint"],
    groups: Int[np.ndarray, " neuron"],
) -> list[Tested]:
    """Test each label on images it was not chosen on, against the labels of other neurons.

    The images of a neuron's highest patches are halved. The label of either half has its margin
    measured on the other; the mean of both is the value. Where a neuron has no label of its own,
    its value is like that of any other neuron's label put in its place: that is the control.

    Parameters
    ----------
    vectors : per neuron, float arrays [patch, joint]
        Projected patches at unit length, highest first.
    images : per neuron, int arrays [patch]
    words : float array [word, joint]
    groups : int array [neuron]
        Margins are taken within a group (the neurons of one hook point).
    """
    counts = [(len(own), len(set(own.tolist()))) for own in images]
    whole = np.array([n_images > 1 for _, n_images in counts])
    n, n_words = len(vectors), len(words)
    halves = []
    for first in (True, False):
        similarity = np.full((n, n_words), np.nan)
        for number in np.flatnonzero(whole).tolist():
            keep = alternate(images[number]) == first
            similarity[number] = vectors[number][keep].mean(axis=0) @ words.T
        margin = np.full((n, n_words), np.nan)
        for group in np.unique(groups):
            own = groups == group
            margin[own] = margins(similarity[own])
        halves.append(margin)
    there = np.flatnonzero(whole)
    chosen = [np.nan_to_num(margin, nan=-np.inf).argmax(axis=1) for margin in halves]
    # [neuron, whose label]: the label of one half, measured on the other.
    crossed = np.full((n, n), np.nan)
    crossed[:, there] = (halves[1][:, chosen[0][there]] + halves[0][:, chosen[1][there]]) / 2
    found = []
    for number in range(n):
        value, control, reason = np.nan, np.empty(0), ONE_IMAGE
        if whole[number]:
            value = float(crossed[number, number])
            control = crossed[number, there[there != number]]
            reason = "" if control.size else NO_OTHERS
        found.append(Tested(value, control, reason, *counts[number]))
    return found


def direction_similarity(
    directions: Float[Tensor, "neuron d_model"],
    matrix: Float[Tensor, "joint d_model"],
    words: Float[np.ndarray, "word joint"],
) -> Similarity:
    """Cosine of each word to each projected direction; NaN where nothing is left of one."""
    projected = directions @ matrix.T
    length = projected.norm(dim=1, keepdim=True)
    cosine = (F.normalize(projected, dim=1) @ torch.from_numpy(words).T).double().numpy()
    cosine[length[:, 0].numpy() <= 1e-9] = np.nan
    return cosine


def direction_tests(tested: Similarity, everything: Similarity, random: Similarity) -> list[Tested]:
    """Test the specificity of each direction's label against that of random directions.

    ``everything`` are the similarities of all channels of the point, which give mean and spread.
    """
    control = specificity(margins(random, everything))
    return [
        Tested(float(value), control) if np.isfinite(value) else Tested(reason=CONSTANT)
        for value in specificity(margins(tested, everything))
    ]


def random_directions(n: int, width: int, seed: int) -> Float[Tensor, "direction d_model"]:
    """Directions spread evenly over the residual stream."""
    generator = np.random.default_rng([seed, width, n])
    return torch.from_numpy(generator.standard_normal((n, width))).float()
