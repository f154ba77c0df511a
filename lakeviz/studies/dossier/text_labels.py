"""Text labels of neurons, how specific they are, and whether they beat shuffled ones.

Two sources. ``patches``: how close the words are to the highest patches of the neuron, projected
into the joint space. ``direction``: how close they are to the neuron's write direction there.

Some words are close to everything, so a similarity says little. A word's *margin* for a neuron is
its similarity minus its mean over neurons, in units of its spread over neurons; the label is the
word of largest margin, and its *specificity* how far that lies above the neuron's mean margin over
all words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.metrics.estimates import rank_p_value
from lakeviz.studies.neurons.tested_neurons import Choice

SOURCES = ("patches", "direction")
RANKS = 3  # words listed of each neuron
N_DIRECTIONS = 1000
ONE_IMAGE = "the highest patches lie in a single image, so no other image can confirm the label"
NO_OTHERS = "there is no other neuron whose label could be put in its place"
FIRST_ALONE = "tested for the first word alone"
CONSTANT = "the neuron writes nothing that the projection passes on"

Similarity = Float[np.ndarray, "neuron word"]


@dataclass(frozen=True)
class Tested:
    """A neuron's label against its control.

    Attributes
    ----------
    value : float
        What is tested; ``patches``: the margin of the label on images it was not chosen on;
        ``direction``: its specificity.
    control : float array [draw]
        The same of shuffled labels, or of random directions.
    reason : str
    """

    value: float
    control: Float[np.ndarray, " draw"]
    reason: str = ""

    def columns(self) -> dict[str, Any]:
        """Columns of the table."""
        known = np.isfinite(self.value) and self.control.size > 0
        spread = np.quantile(self.control, [0.025, 0.975]) if known else (np.nan, np.nan)
        return {
            "value": self.value,
            "control_mean": float(self.control.mean()) if known else np.nan,
            "control_low": float(spread[0]),
            "control_high": float(spread[1]),
            "n_draws": int(self.control.size) if known else 0,
            "p_value": rank_p_value(self.value, self.control) if known else np.nan,
            "reason": self.reason,
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


# --- from the highest patches ---


def patch_similarity(
    vectors: Sequence[Float[np.ndarray, "patch joint"]], words: Float[np.ndarray, "word joint"]
) -> Similarity:
    """Mean cosine of each word to the patches of each neuron, given at unit length."""
    return np.stack([own.mean(axis=0) @ words.T for own in vectors])


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
    whole = np.array([len(set(own.tolist())) > 1 for own in images])
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
        others = there[there != number]
        if not whole[number]:
            found.append(Tested(np.nan, np.empty(0), ONE_IMAGE))
        elif not others.size:
            found.append(Tested(float(crossed[number, number]), np.empty(0), NO_OTHERS))
        else:
            found.append(Tested(float(crossed[number, number]), crossed[number, others]))
    return found


# --- from the write direction ---


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


def direction_tests(
    tested: Similarity,
    everything: Similarity,
    random: Similarity,
) -> list[Tested]:
    """Test the specificity of each direction's label against that of random directions.

    Parameters
    ----------
    tested, everything, random : float arrays [neuron, word]
        Similarities of the tested neurons, of all channels of the point (which give mean and
        spread), and of random directions of the residual stream.
    """
    control = specificity(margins(random, everything))
    values = specificity(margins(tested, everything))
    return [
        Tested(float(value), control)
        if np.isfinite(value)
        else Tested(np.nan, np.empty(0), CONSTANT)
        for value in values
    ]


def random_directions(n: int, width: int, seed: int) -> Float[Tensor, "draw d_model"]:
    """Directions spread evenly over the residual stream."""
    generator = np.random.default_rng([seed, width, n])
    return torch.from_numpy(generator.standard_normal((n, width))).float()


# --- rows ---


def label_rows(
    choice: Choice,
    source: str,
    similarity: Similarity,
    margin: Similarity,
    tests: Sequence[Tested],
    words: Sequence[str],
    counts: Callable[[int], tuple[int, int]],
) -> list[dict[str, Any]]:
    """The first words of every neuron of a point; ``counts`` gives its patches and images."""
    rows = []
    special = specificity(margin)
    for number, channel in enumerate(choice.tested):
        row = {
            "point": choice.point,
            "channel": int(channel),
            "group": "selected" if number < len(choice.selected) else "random",
            "source": source,
        }
        n_patches, n_images = counts(number)
        sizes = {"n_patches": n_patches, "n_images": n_images}
        if not np.isfinite(margin[number]).all():
            empty = Tested(np.nan, np.empty(0), tests[number].reason).columns()
            scores = {"similarity": np.nan, "margin": np.nan, "specificity": np.nan}
            rows.append({**row, "rank": 1, "word": "", **scores, **empty, **sizes})
            continue
        for rank, word in enumerate(np.argsort(-margin[number], kind="stable")[:RANKS], start=1):
            tested = tests[number] if rank == 1 else Tested(np.nan, np.empty(0), FIRST_ALONE)
            rows.append(
                {
                    **row,
                    "rank": rank,
                    "word": words[word],
                    "similarity": float(similarity[number, word]),
                    "margin": float(margin[number, word]),
                    "specificity": float(special[number]),
                    **tested.columns(),
                    **sizes,
                }
            )
    return rows
