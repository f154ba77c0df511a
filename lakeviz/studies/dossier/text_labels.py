"""Text labels of neurons, how specific they are, and whether they are better than shuffled ones.

There are two sources. ``patches``: how close the words are to the highest patches of the neuron,
projected into the joint space. ``direction``: how close they are to the neuron's write direction.

Some words are close to everything, so a similarity says little. A word's *margin* for a neuron is
its similarity minus its mean over neurons, in units of its spread over neurons; the label is the
word of largest margin, and its *specificity* how far that lies above the neuron's mean margin over
all words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.errors import HookError
from lakeviz.metrics.estimates import benjamini_hochberg, rank_p_value
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.dossier.joint_space import projection, word_vectors, write_directions
from lakeviz.studies.dossier.stream import LABEL_PATCHES, PointScan
from lakeviz.studies.knockout.rescoring import stored_at
from lakeviz.studies.neurons.tested_neurons import Choice

if TYPE_CHECKING:
    from lakeviz.activations.token_subsets import CapturedTokens
    from lakeviz.models import VisionModel

N_DIRECTIONS = 1000
ONE_IMAGE = "the highest patches lie in a single image, so no other image can confirm the label"
NO_OTHERS = "there is no other neuron whose label could be put in its place"
CONSTANT = "the neuron writes nothing that the projection passes on"

Similarity = Float[np.ndarray, "neuron word"]


@dataclass(frozen=True)
class Tested:
    """A neuron's label compared with its control: shuffled labels, or random directions.

    ``value`` is the margin of the label on images it was not chosen on (``patches``), or its
    specificity (``direction``); ``n_patches`` and ``n_images`` are of the highest patches it is
    made of.
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
    ``vectors`` are projected patches at unit length, highest first; margins are taken within a
    group.
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


RANKS = 3  # words listed of each neuron
FIRST_ALONE = "tested for the first word alone"
COLUMNS = ["point", "channel", "group", "source", "rank", "word", "similarity", "margin"]
COLUMNS += ["specificity", *Tested().columns(), "q_value"]
_BATCH = 32  # images read at a time


def label_table(
    data: StudyData,
    scans: Mapping[str, PointScan],
    words: Sequence[str],
    templates: Sequence[str],
    seed: int,
) -> tuple[pd.DataFrame, list[str]]:
    """Labels of all tested neurons from both sources, and notes on what has none."""
    model = data.model
    assert model is not None
    last = f"blocks.{model.n_blocks - 1}.hook_resid_post"
    tokens = data.test if last in data.test.source.points else stored_at(data, model, last)[1]
    vectors = word_vectors(model, words, templates).numpy()
    label = _Labelling(data, model, scans, words, vectors, last, tokens)
    made, notes = label.from_directions(seed)
    table = pd.DataFrame([*label.from_patches(), *made])
    p_values = table["p_value"].astype(float).groupby(table["source"], sort=False)
    return table.assign(q_value=p_values.transform(benjamini_hochberg)), notes


@dataclass(frozen=True)
class _Labelling:
    """What labels are made of: words with their vectors, and tokens that can be projected."""

    data: StudyData
    model: VisionModel
    scans: Mapping[str, PointScan]
    words: Sequence[str]
    vectors: Float[np.ndarray, "word joint"]
    last: str  # hook point whose patch tokens are projected
    tokens: CapturedTokens

    def from_patches(self) -> list[dict[str, Any]]:
        """Label neurons by their highest patches."""
        images, places, groups = [], [], []
        grid = self.data.grids.get(self.last) or self.model.grid()
        for number, own in enumerate(self.scans.values()):
            n_rows, n_columns = self.data.grids[own.choice.point]
            for patches in own.top.patch[:, :LABEL_PATCHES]:
                image, patch = np.divmod(patches, n_rows * n_columns)
                row = patch // n_columns * grid[0] // n_rows
                column = patch % n_columns * grid[1] // n_columns
                images.append(image)
                places.append(row * grid[1] + column)
                groups.append(number)
        projected = self._projected(images, places)
        tests = shuffled_tests(projected, images, self.vectors, np.array(groups))
        rows: list[dict[str, Any]] = []
        for number, own in enumerate(self.scans.values()):
            at = np.flatnonzero(np.array(groups) == number)
            similarity = np.stack([projected[i].mean(axis=0) @ self.vectors.T for i in at])
            margin, own_tests = margins(similarity), [tests[i] for i in at]
            rows += self._rows(own.choice, "patches", similarity, margin, own_tests)
        return rows

    def _projected(
        self, images: Sequence[np.ndarray], patches: Sequence[np.ndarray]
    ) -> list[Float[np.ndarray, "patch joint"]]:
        """Unit vectors of patches in the joint space; every image is read once."""
        wanted = np.unique(np.stack([np.concatenate(images), np.concatenate(patches)]), axis=1)
        found: dict[tuple[int, int], np.ndarray] = {}
        distinct = np.unique(wanted[0])
        for start in range(0, len(distinct), _BATCH):
            some = distinct[start : start + _BATCH]
            read = self.tokens.patches(self.last, some.tolist())
            here = wanted[:, np.isin(wanted[0], some)]
            place = np.searchsorted(some, here[0])
            rows = read[torch.from_numpy(place), torch.from_numpy(here[1])]
            projected = self.model.project_patches(rows[None])[0].float().cpu()
            unit = F.normalize(projected, dim=-1).numpy()
            found.update(zip(map(tuple, here.T.tolist()), unit, strict=True))
        return [
            np.stack([found[pair] for pair in zip(own.tolist(), places.tolist(), strict=True)])
            for own, places in zip(images, patches, strict=True)
        ]

    def from_directions(self, seed: int) -> tuple[list[dict[str, Any]], list[str]]:
        """Label neurons by their write directions; with notes on points that have none."""
        matrix = projection(self.model, self.tokens.patches(self.last, [0])[0, 0])
        drawn = random_directions(N_DIRECTIONS, self.model.d_model, seed)
        random = direction_similarity(drawn, matrix, self.vectors)
        rows: list[dict[str, Any]] = []
        notes = []
        for point, own in self.scans.items():
            try:
                directions = write_directions(self.model, point)
                everything = direction_similarity(directions, matrix, self.vectors)
                similarity = everything[own.choice.tested]
                margin = margins(similarity, everything)
                tests = direction_tests(similarity, everything, random)
            except HookError as error:
                notes.append(f"{self.data.category}: no label of write directions: {error}")
                similarity = margin = np.full((len(own.choice.tested), len(self.words)), np.nan)
                tests = [Tested(reason=str(error))] * len(margin)
            rows += self._rows(own.choice, "direction", similarity, margin, tests)
        return rows, notes

    def _rows(
        self,
        choice: Choice,
        source: str,
        similarity: Similarity,
        margin: Similarity,
        tests: Sequence[Tested],
    ) -> list[dict[str, Any]]:
        """The first words of every neuron of a point."""
        rows = []
        special = specificity(margin)
        for number, row in choice.rows():
            row |= {"source": source}
            if not np.isfinite(margin[number]).all():
                scores = dict.fromkeys(("similarity", "margin", "specificity"), np.nan)
                rows.append(row | {"rank": 1, "word": ""} | scores | tests[number].columns())
                continue
            best = np.argsort(-margin[number], kind="stable")[:RANKS]
            for rank, word in enumerate(best, start=1):
                tested = tests[number]
                if rank > 1:
                    tested = replace(tested, value=np.nan, reason=FIRST_ALONE)
                rows.append(
                    {
                        **row,
                        "rank": rank,
                        "word": self.words[word],
                        "similarity": float(similarity[number, word]),
                        "margin": float(margin[number, word]),
                        "specificity": float(special[number]),
                        **tested.columns(),
                    }
                )
        return rows
