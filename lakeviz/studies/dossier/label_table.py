"""From study data to the table of labels: which patches, which vectors, which words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F

from lakeviz.errors import HookError, TextBranchError
from lakeviz.lake.text import text_obstacle
from lakeviz.metrics.estimates import benjamini_hochberg
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.dossier.stream import LABEL_PATCHES, PointScan, places_of
from lakeviz.studies.dossier.text_labels import (
    N_DIRECTIONS,
    Tested,
    direction_similarity,
    direction_tests,
    label_rows,
    margins,
    patch_similarity,
    random_directions,
    shuffled_tests,
)
from lakeviz.studies.dossier.vocabulary import word_vectors
from lakeviz.studies.dossier.write_directions import projection, write_directions
from lakeviz.studies.knockout.stored import stored_at

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

_BATCH = 32  # images read at a time


def label_obstacle(data: StudyData) -> str:
    """Why the neurons can have no labels; empty where they can."""
    if data.model is None:
        return "these data come without a model"
    return text_obstacle(data.model) or ""


def require_labels(data: StudyData) -> VisionModel:
    """Return the model that labels are made with.

    Raises
    ------
    TextBranchError
        Says why there can be none, and what to do.
    """
    obstacle = label_obstacle(data)
    if obstacle or data.model is None:
        raise TextBranchError(
            f"{data.category}: neurons cannot be labelled, because {obstacle}; take a model with "
            "text (lakeviz models), or leave labels out (labels=False, --no-labels)"
        )
    return data.model


@dataclass(frozen=True)
class Vocabulary:
    """Words and templates that labels are made of."""

    words: tuple[str, ...]
    templates: tuple[str, ...]


def label_table(
    data: StudyData, scans: Mapping[str, PointScan], vocabulary: Vocabulary, seed: int
) -> tuple[pd.DataFrame, list[str]]:
    """Labels of all tested neurons from both sources, and notes on what has none.

    Raises
    ------
    TextBranchError
        If the model has no text, or cannot project patch tokens.
    """
    model = require_labels(data)
    words = word_vectors(model, vocabulary.words, vocabulary.templates).numpy()
    last = f"blocks.{model.n_blocks - 1}.hook_resid_post"
    tokens = data.test if last in data.test.source.points else stored_at(data, model, last)[1]
    rows = _from_patches(data, model, scans, tokens, last, words, vocabulary.words)
    token = tokens.patches(last, [0])[0, 0]
    made, notes = _from_directions(data, model, scans, token, words, vocabulary.words, seed)
    table = pd.DataFrame([*rows, *made])
    table["q_value"] = np.nan
    for source in dict.fromkeys(table["source"]):
        own = (table["source"] == source).to_numpy()
        q = benjamini_hochberg(table["p_value"].to_numpy(float)[own])
        table.loc[own, "q_value"] = q
    return table, notes


def _from_patches(
    data: StudyData,
    model: VisionModel,
    scans: Mapping[str, PointScan],
    tokens: Any,
    last: str,
    words: np.ndarray,
    names: Sequence[str],
) -> list[dict[str, Any]]:
    """Labels of the highest patches."""
    images, vectors, groups = [], [], []
    for number, own in enumerate(scans.values()):
        n_rows, n_columns = data.grids[own.choice.point]
        of_last = data.grids.get(last) or model.grid()
        for patches in own.top.patch[:, :LABEL_PATCHES]:
            image, patch = places_of(patches, n_rows * n_columns)
            row = patch // n_columns * of_last[0] // n_rows
            column = patch % n_columns * of_last[1] // n_columns
            images.append(image)
            vectors.append(row * of_last[1] + column)
            groups.append(number)
    projected = _projected(model, tokens, last, images, vectors)
    tests = shuffled_tests(projected, images, words, np.array(groups))
    rows: list[dict[str, Any]] = []
    for number, own in enumerate(scans.values()):
        of_point = np.flatnonzero(np.array(groups) == number)
        similarity = patch_similarity([projected[i] for i in of_point], words)
        counted = [(len(images[i]), len(set(images[i].tolist()))) for i in of_point]
        rows += label_rows(
            own.choice,
            "patches",
            similarity,
            margins(similarity),
            [tests[i] for i in of_point],
            names,
            counted.__getitem__,
        )
    return rows


def _projected(
    model: VisionModel,
    tokens: Any,
    last: str,
    images: Sequence[np.ndarray],
    patches: Sequence[np.ndarray],
) -> list[np.ndarray]:
    """Unit vectors of patches in the joint space; every image is read once."""
    wanted = np.unique(np.stack([np.concatenate(images), np.concatenate(patches)]), axis=1)
    found: dict[tuple[int, int], np.ndarray] = {}
    distinct = np.unique(wanted[0])
    for start in range(0, len(distinct), _BATCH):
        some = distinct[start : start + _BATCH]
        read = tokens.patches(last, some.tolist())
        here = wanted[:, np.isin(wanted[0], some)]
        place = np.searchsorted(some, here[0])
        rows = read[torch.from_numpy(place), torch.from_numpy(here[1])]
        unit = F.normalize(model.project_patches(rows[None])[0].float().cpu(), dim=-1).numpy()
        pairs = (tuple(pair) for pair in here.T.tolist())
        found.update(zip(pairs, unit, strict=True))
    return [
        np.stack([found[i, p] for i, p in zip(own.tolist(), places.tolist(), strict=True)])
        for own, places in zip(images, patches, strict=True)
    ]


def _from_directions(
    data: StudyData,
    model: VisionModel,
    scans: Mapping[str, PointScan],
    token: torch.Tensor,
    words: np.ndarray,
    names: Sequence[str],
    seed: int,
) -> tuple[list[dict[str, Any]], list[str]]:
    """Labels of the write directions, and notes on points that have none."""
    matrix = projection(model, token)
    random = direction_similarity(
        random_directions(N_DIRECTIONS, model.d_model, seed), matrix, words
    )
    rows: list[dict[str, Any]] = []
    notes = []
    for own in scans.values():
        point = own.choice.point
        try:
            directions = write_directions(model, point)
        except HookError as error:
            notes.append(f"{data.category}: no label of write directions: {error}")
            nothing = np.full((len(own.choice.tested), len(words)), np.nan)
            empty = [Tested(np.nan, np.empty(0), str(error))] * len(nothing)
            rows += label_rows(
                own.choice, "direction", nothing, nothing, empty, names, lambda _: (0, 0)
            )
            continue
        everything = direction_similarity(directions, matrix, words)
        similarity = everything[own.choice.tested]
        rows += label_rows(
            own.choice,
            "direction",
            similarity,
            margins(similarity, everything),
            direction_tests(similarity, everything, random),
            names,
            lambda _: (0, 0),
        )
    return rows, notes
