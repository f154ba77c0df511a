"""The table of labels: which patches and directions, which vectors, which words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float

from lakeviz.errors import HookError
from lakeviz.metrics.estimates import benjamini_hochberg
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.dossier.stream import LABEL_PATCHES, PointScan
from lakeviz.studies.dossier.text_labels import (
    N_DIRECTIONS,
    Similarity,
    Tested,
    direction_similarity,
    direction_tests,
    margins,
    random_directions,
    shuffled_tests,
    specificity,
)
from lakeviz.studies.dossier.word_space import word_vectors
from lakeviz.studies.dossier.write_directions import projection, write_directions
from lakeviz.studies.knockout.rescoring import stored_at
from lakeviz.studies.neurons.tested_neurons import Choice

if TYPE_CHECKING:
    from lakeviz.activations.token_subsets import CapturedTokens
    from lakeviz.models import VisionModel

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
