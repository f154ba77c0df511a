"""The study ``decompose``: which parts of a tower push images towards "anomalous"."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import Loading, token_grid
from lakeviz.errors import ConfigError, MetricError
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics import Bootstrap
from lakeviz.progress import expect
from lakeviz.settings import check_choice
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.study import DEFAULT_BOOTSTRAP, Measured, OnRun, Study
from lakeviz.studies.base.unit_data import class_name_of, model_of
from lakeviz.studies.decompose.component_rows import (
    N_NEURON_SHUFFLES,
    N_SHUFFLES,
    Comparison,
    component_rows,
    location_rows,
    neuron_rows,
)
from lakeviz.studies.decompose.decomposer import Decomposer, Gathered, embeddings, gather
from lakeviz.studies.decompose.directions import (
    CLASS,
    DIRECTIONS,
    Direction,
    class_direction,
    class_mean_direction,
    given_direction,
    text_direction,
)
from lakeviz.studies.decompose.mean_ablation import ablation_rows, halves
from lakeviz.studies.decompose.result import DecomposeResult, Settings


class DecomposeStudy(Study):
    """Runs the tower on the test images, once for all terms."""

    needs_a_metric: ClassVar[bool] = False

    def __call__(  # type: ignore[override]  # the direction may come second
        self,
        data: StudyData,
        direction: str | Float[Tensor, " out"] | Direction | Settings | None = None,
        settings: Settings | None = None,
        *,
        bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
        loading: Loading | None = None,
        **changes: Any,
    ) -> DecomposeResult:
        """Decompose the embeddings of the test images along an anomaly direction.

        What is decomposed is the score of an image: its embedding at unit length, dotted with the
        direction at unit length.

        Parameters
        ----------
        data : StudyData
            With its model and image files; made with :func:`capture_study`.
        direction : str, Tensor [out] or Direction, optional
            ``"text"`` (the default): anomalous minus normal prompts. ``"class-means"``: anomalous
            minus normal mean embedding of one half of the test images, chosen by chance; the other
            half is measured. Or one of your own.
        settings, bootstrap, changes
            As for every study; see :class:`~lakeviz.studies.decompose.result.Settings`.
        loading : Loading, optional

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
        if direction is not None:
            changes["direction"] = direction
        chosen = Settings.of(settings, changes)
        return self._measured(partial(measure, loading=loading), data, chosen, bootstrap)

    def measure_runs(self, on: OnRun, settings: Any) -> DecomposeResult:
        """Decompose every chosen category of a run."""
        shared: dict[str, Any] = {"bootstrap": on.bootstrap, "loading": on.run.loading}
        return DecomposeResult.join(
            [
                self(on.run.data(category), settings=settings, **shared)
                for category in on.each_category(self.name)
            ]
        )


STUDY = DecomposeStudy(Settings, DecomposeResult)


def measure(
    data: StudyData,
    settings: Settings,
    evaluator: PairedEvaluator,
    /,
    loading: Loading | None = None,
) -> Measured:
    """Decompose the test images, and those fitted on, once for all tables."""
    model = model_of(data, "a decomposition runs")
    if data.dataset is None or not data.normal_paths:
        raise ConfigError(
            f"{data.category}: a decomposition needs the model and the image files; make the data "
            "with capture_study"
        )
    labels = data.truth.labels
    if not 0 < labels.sum() < len(labels):
        raise MetricError(
            f"{data.category}: what pushes towards anomalous shows between normal and anomalous "
            f"test images, and of the {len(labels)} there are {int(labels.sum())} anomalous"
        )
    decomposer = Decomposer(model)
    direction, measured = _choose(data, settings, loading)
    if not measured.all():
        evaluator = evaluator.some(measured)
    random = direction.draw(settings.n_random_sets, np.random.default_rng([settings.seed, 0]))
    along = torch.cat([direction.vector[None], random])
    grid = token_grid(model.tower, f"blocks.{model.n_blocks - 1}.hook_resid_post")
    shared: dict[str, Any] = {"grid": grid, "loading": loading}
    tested = data.dataset.where(measured)
    expect(int(measured.sum()) + len(data.normal_paths), of="images")
    found = gather(decomposer, model, tested, labels[measured], along, **shared)
    paths = list(data.normal_paths)
    none = np.zeros(len(paths), dtype=int)
    # Of the normal images nothing is needed along random directions.
    reference = gather(decomposer, model, paths, none, along[:1], **shared)
    made = Comparison(
        labels[measured], evaluator, settings.n_random_sets, settings.top, settings.seed
    )
    ids = [name for name, keep in zip(data.test.sample_ids, measured, strict=True) if keep]
    tables = {
        "components": component_rows(found, made),
        "neurons": neuron_rows(found, made),
        "ablation": ablation_rows(found, reference, sorted(set(settings.sizes)), made),
        "locations": location_rows(found, made),
        "contributions": _contribution_rows(found, ids, made.labels),
        "patches": _patch_rows(found, ids, made.labels),
    }
    notes = data.absences(evaluator)
    if "neurons" not in set(tables["ablation"]["level"]):
        notes.append(
            f"{data.category}: sets of neurons were not ablated, for they are chosen on one half "
            "of the test images and measured on the other, and a half lacks one class"
        )
    # What the direction says of a category differs from one to the next; the kind does not.
    given = settings.to_plain() | {
        "direction": direction.source,
        "random_directions": direction.controls,
        "n_shuffles": N_SHUFFLES,
        "n_neuron_shuffles": N_NEURON_SHUFFLES,
    }
    return Measured(tables, notes, {"measured": ids}, given)


def _choose(
    data: StudyData, settings: Settings, loading: Loading | None
) -> tuple[Direction, np.ndarray]:
    """The direction, and which test images are measured along it."""
    direction = settings.direction
    assert data.model is not None
    assert data.dataset is not None
    everything = np.ones(len(data.test), dtype=bool)
    if isinstance(direction, Direction):
        return direction, everything
    if isinstance(direction, Tensor):
        width = data.model.tower.points["hook_image_features"].sizes[-1]
        return given_direction(direction, width), everything
    if direction in (None, "text"):
        name = settings.class_name or class_name_of(data)
        return text_direction(data.model, name, data.options.text.prompts), everything
    if isinstance(direction, str) and direction.startswith(CLASS):
        return class_direction(data.model, direction.removeprefix(CLASS)), everything
    check_choice("direction", direction, DIRECTIONS)
    labels = data.truth.labels
    held, measured = halves(labels, settings.seed)
    for half in (held, measured):
        if not 0 < labels[half].sum() < half.sum():
            raise MetricError(
                f"{data.category}: class means need two normal and two anomalous test images, for "
                "one half of them is held out"
            )
    vectors = embeddings(data.model, data.dataset.where(held), loading)
    return class_mean_direction(vectors, labels[held]), measured


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
