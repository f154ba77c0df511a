"""The study ``decompose``: which parts of a tower push images towards "anomalous"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import Loading, token_grid
from lakeviz.errors import ConfigError, MetricError
from lakeviz.lake.paired_evaluator import DEFAULT_BOOTSTRAP, PairedEvaluator
from lakeviz.metrics import Bootstrap
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.decompose.component_rows import (
    N_NEURON_SHUFFLES,
    N_SHUFFLES,
    Settings,
    component_rows,
    location_rows,
    neuron_rows,
)
from lakeviz.studies.decompose.contributions import Gathered, embeddings, gather
from lakeviz.studies.decompose.decomposer import Decomposer
from lakeviz.studies.decompose.directions import (
    DIRECTIONS,
    Direction,
    class_mean_direction,
    given_direction,
    text_direction,
)
from lakeviz.studies.decompose.mean_ablation import ablation_rows, halves
from lakeviz.studies.decompose.result import DecomposeResult

_METRICS = (("image", "auroc"), ("pixel", "aupro"))
SIZES = (1, 10, 100)


def decompose(
    data: StudyData,
    direction: str | Float[Tensor, " out"] | Direction | None = None,
    *,
    class_name: str | None = None,
    sizes: Sequence[int] = SIZES,
    top: int = 50,
    n_draws: int = 20,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
    seed: int = 0,
    loading: Loading | None = None,
) -> DecomposeResult:
    """Decompose the embeddings of the test images along an anomaly direction.

    What is decomposed is the score of an image: its embedding at unit length, dotted with the
    direction at unit length.

    Parameters
    ----------
    data : StudyData
        With its model and image files; made with :func:`capture_study`.
    direction : str, Tensor [out] or Direction, optional
        ``"text"`` (the default): anomalous minus normal prompts. ``"class-means"``: anomalous minus
        normal mean embedding of one half of the test images, chosen by chance; the other half is
        measured. Or one of your own.
    class_name : str, optional
        What prompts call the thing; the run's own word, or the category, by default.
    sizes : sequence of int
        Sizes of the sets of neurons that are mean-ablated.
    top : int
        Neurons listed, of the largest differences.
    n_draws : int
        Random directions, and random components or sets beside each, at least 2.
    bootstrap : Bootstrap
        Over images.
    seed : int
        Of random directions, sets, halves and shuffled labels.
    loading : Loading, optional

    Returns
    -------
    DecomposeResult

    Raises
    ------
    HookError
        If the tower has no exact decomposition.
    TextBranchError
        If a direction from prompts is asked of a model without a text encoder.
    ConfigError
        If the data carry no model or files, or a setting is out of range.
    MetricError
        If there are no test images of one class.
    """
    if data.model is None or data.dataset is None or not data.normal_paths:
        raise ConfigError(
            f"{data.category}: a decomposition needs the model and the image files; make the data "
            "with capture_study"
        )
    _check(data, sizes, top, n_draws)
    decomposer = Decomposer(data.model)
    chosen, measured = _choose(data, direction, class_name, seed, loading)
    evaluator = _evaluator(data, measured, bootstrap)
    generator = np.random.default_rng([seed, 0])
    random = chosen.draw(n_draws, generator)
    along = torch.cat([chosen.vector[None], random])
    grid = token_grid(data.model.tower, f"blocks.{data.model.n_blocks - 1}.hook_resid_post")
    labels = data.truth.labels[measured]
    found = gather(
        decomposer,
        data.model,
        data.dataset.where(measured),
        labels,
        along,
        grid=grid,
        loading=loading,
    )
    n_normal = len(data.normal_paths)
    # Of the normal images nothing is needed along random directions.
    reference = gather(
        decomposer,
        data.model,
        list(data.normal_paths),
        np.zeros(n_normal, dtype=int),
        along[:1],
        grid=grid,
        loading=loading,
    )
    settings = Settings(labels, evaluator, n_draws, top, seed)
    given = {
        "direction": chosen.source,
        "random_directions": chosen.controls,
        "sizes": sorted(set(sizes)),
        "top": top,
        "n_draws": n_draws,
        "n_shuffles": N_SHUFFLES,
        "n_neuron_shuffles": N_NEURON_SHUFFLES,
        "seed": seed,
    }
    return _result(data, found, reference, settings, measured, given)


def _result(
    data: StudyData,
    found: Gathered,
    reference: Gathered,
    settings: Settings,
    measured: np.ndarray,
    given: dict[str, Any],
) -> DecomposeResult:
    ids = [name for name, keep in zip(data.test.sample_ids, measured, strict=True) if keep]
    tables = {
        "components": component_rows(found, settings),
        "neurons": neuron_rows(found, settings),
        "ablation": ablation_rows(found, reference, given["sizes"], settings),
        "locations": location_rows(found, settings),
        "contributions": _contribution_rows(found, ids, settings.labels),
        "patches": _patch_rows(found, ids, settings.labels),
    }
    for table in tables.values():
        table.insert(0, "category", data.category)
    # What the direction says of a category differs from one to the next; the kind does not.
    made = data.describe("decompose", given, settings.evaluator)
    made["categories"][data.category]["measured"] = ids
    notes = data.absences(settings.evaluator)
    if "neurons" not in set(tables["ablation"]["level"]):
        notes.append(
            f"{data.category}: sets of neurons were not ablated, for they are chosen on one half "
            "of the test images and measured on the other, and a half lacks one class"
        )
    return DecomposeResult(**tables, provenance=made, notes=notes)


def _check(data: StudyData, sizes: Sequence[int], top: int, n_draws: int) -> None:
    if n_draws < 2:
        raise ConfigError(f"a random control needs at least 2 draws, not {n_draws}")
    if top < 1 or any(size < 1 for size in sizes):
        raise ConfigError("top and all sizes must be at least 1")
    labels = data.truth.labels
    if not 0 < labels.sum() < len(labels):
        raise MetricError(
            f"{data.category}: what pushes towards anomalous shows between normal and anomalous "
            f"test images, and of the {len(labels)} there are {int(labels.sum())} anomalous"
        )


def _choose(
    data: StudyData,
    direction: str | Tensor | Direction | None,
    class_name: str | None,
    seed: int,
    loading: Loading | None,
) -> tuple[Direction, np.ndarray]:
    """The direction, and which test images are measured along it."""
    assert data.model is not None
    assert data.dataset is not None
    everything = np.ones(len(data.test), dtype=bool)
    if isinstance(direction, Direction):
        return direction, everything
    if isinstance(direction, Tensor):
        return given_direction(direction, _width(data)), everything
    if direction in (None, "text"):
        name = class_name or data.provenance.get("class_name")
        name = name or data.category.replace("_", " ")
        return text_direction(data.model, name, data.options.text.prompts), everything
    if direction != "class-means":
        raise ConfigError(f"direction must be one of {', '.join(DIRECTIONS)}, not {direction!r}")
    labels = data.truth.labels
    held, measured = halves(labels, seed)
    for half in (held, measured):
        if not 0 < labels[half].sum() < half.sum():
            raise MetricError(
                f"{data.category}: class means need two normal and two anomalous test images, for "
                "one half of them is held out"
            )
    vectors = embeddings(data.model, data.dataset.where(held), loading)
    return class_mean_direction(vectors, labels[held]), measured


def _width(data: StudyData) -> int:
    assert data.model is not None
    return data.model.tower.points["hook_image_features"].sizes[-1]


def _evaluator(data: StudyData, measured: np.ndarray, bootstrap: Bootstrap) -> PairedEvaluator:
    whole = data.evaluator(_METRICS, bootstrap)
    if measured.all():
        return whole
    sizes = [size for size, keep in zip(data.sizes, measured, strict=True) if keep]
    return replace(whole, truth=data.truth.where(measured), sizes=sizes)


def _contribution_rows(found: Gathered, ids: list[str], labels: np.ndarray) -> pd.DataFrame:
    """Every image's contributions at both levels of detail, and its score."""
    parts = []
    everything = {"output": (["output"], found.output[:, None])}
    everything |= {level: (names, found.terms[level]) for level, names in found.names.items()}
    for level, (names, terms) in everything.items():
        n = len(names)
        parts.append(
            pd.DataFrame(
                {
                    "image": np.repeat(ids, n),
                    "label": np.repeat(labels, n),
                    "level": level,
                    "component": np.tile(names, len(ids)),
                    "contribution": terms.reshape(-1),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def _patch_rows(found: Gathered, ids: list[str], labels: np.ndarray) -> pd.DataFrame:
    n_images, n_rows, n_columns = found.maps.shape
    row, column = (g.reshape(-1) for g in np.mgrid[:n_rows, :n_columns])
    n = n_rows * n_columns
    return pd.DataFrame(
        {
            "image": np.repeat(ids, n),
            "label": np.repeat(labels, n),
            "row": np.tile(row, n_images),
            "column": np.tile(column, n_images),
            "contribution": found.maps.reshape(-1),
        }
    )
