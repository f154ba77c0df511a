"""Neurons off or exchanged: metrics of the test set, and one image with values of its twin.

Units are neurons, or those that the data were made with: what these do not explain of a token (the
error of an autoencoder) stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import select_tokens, token_grid
from lakeviz.activations.tokens import as_activation
from lakeviz.errors import DataError
from lakeviz.explorer.fitted import Fitted, Stopped
from lakeviz.explorer.views import Dropped
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.contrasts import difference, difference_to
from lakeviz.metrics.measurement import Measurement, Metric
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.unit_data import model_of
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.patching.pairs import make_pairs
from lakeviz.units import Units, encoded
from lakeviz.units.linear import ChannelUnits

if TYPE_CHECKING:
    from lakeviz.models import VisionModel
    from lakeviz.studies.base.captured import StudyData

Chosen = dict[str, Float[Tensor, "image patch k"]]


@dataclass(frozen=True)
class Twin:
    """A test image and its twin, ready for the tower.

    The kind is ``"rendered"``, or ``"inpainted"``: approximate. ``tokens`` are all of the twin, by
    hook point: [1, token, channel].
    """

    kind: str
    image: Float[Tensor, "1 3 height width"]
    twin: Float[Tensor, "1 3 height width"]
    tokens: dict[str, Tensor]


def twin_of_image(fitted: Fitted, index: int) -> Twin:
    """Make the twin of a test image."""
    data = fitted.data
    model, _ = _network(data)
    if data.dataset is None:
        raise DataError(f"{data.category}: a twin is made of image files, and there are none")
    grid = token_grid(model.tower, data.points[0])
    own = PatchTruth.of(data.truth, grid, geometry=data.geometry, sizes=data.sizes).defect
    one = np.zeros_like(own)
    one[index] = own[index]
    if not one.any():
        raise DataError(
            f"{data.test.sample_ids[index]} has no mask that the tower sees, so there is no twin "
            "without its defect; choose an anomalous image"
        )
    pairs = make_pairs(data.dataset, data.normal_paths, model.preprocess, one, n_pairs=1)
    with torch.inference_mode():
        _, cache = model.tower.run_with_cache(pairs.twins, names_filter=list(data.points))
    tokens = {p: select_tokens(model.tower, p, cache[p], "all") for p in data.points}
    return Twin(pairs.kind, pairs.defects, pairs.twins, tokens)


def exchanged_maps(
    fitted: Fitted, index: int, twin: Twin, sets: Sequence[Dropped]
) -> Float[np.ndarray, "set row column"]:
    """Fused maps of a test image whose neurons take the twin's values, set by set.

    The values are put in place at every token of each hook point, and the tower runs on: a later
    hook point sees what an earlier one was given. The text branch does not change.
    """
    return np.stack(
        [fitted.image_map(index, fitted.galleries, _tokens(fitted, twin, one)) for one in sets]
    )


def twin_map(fitted: Fitted, index: int, twin: Twin) -> Float[np.ndarray, "row column"]:
    """Fused map of the twin itself, with the text scores of the image."""
    model, units = _network(fitted.data)
    seen = {p: tokens[:, model.n_prefix_tokens :] for p, tokens in twin.tokens.items()}
    seen = encoded(units, seen)
    chosen = {p: gallery.chosen(seen[p]) for p, gallery in fitted.galleries.items()}
    return fitted.image_map(index, fitted.galleries, chosen)


def _network(data: StudyData) -> tuple[VisionModel, Mapping[str, Units]]:
    """The model that runs, and the units of the tokens where they are no neurons."""
    return data.behind or (model_of(data, "an exchange runs"), {})


def _tokens(fitted: Fitted, twin: Twin, exchanged: Dropped) -> Chosen:
    model, units = _network(fitted.data)
    tower = model.tower
    kept: Chosen = {}

    def put(tensor: Tensor, hook: Any) -> Tensor:
        point = hook.name
        tokens = select_tokens(tower, point, tensor, "all")
        basis = units.get(point) or ChannelUnits(point, tokens.shape[-1])
        if chosen := list(exchanged.get(point, ())):
            tokens = basis.exchange(tokens, twin.tokens[point], chosen)
        seen = basis.encode(tokens[:, tower.adapter.n_prefix_tokens :])
        kept[point] = fitted.galleries[point].chosen(seen)
        return as_activation(tower, point, tokens)

    hooks = [(p, put) for p in fitted.galleries]
    with torch.inference_mode():
        tower.run_with_hooks(twin.image, fwd_hooks=hooks, stop_at="auto")
    return kept


METRICS: tuple[Metric, ...] = (("image", "auroc"), ("pixel", "aupro"))
_BOOTSTRAP = Bootstrap(n_resamples=200)


def evaluator_of(data: StudyData) -> PairedEvaluator:
    """The explorer's evaluator: two metrics, few draws, as someone is waiting."""
    return data.evaluator(METRICS, _BOOTSTRAP)


def effects(
    fitted: Fitted,
    off: Dropped,
    controls: Sequence[Dropped],
    intact: Measurement,
    go_on: Callable[[], bool],
) -> pd.DataFrame:
    """Measure the test images without the chosen neurons and without each control.

    The columns are those of :meth:`lakeviz.explorer.state.Explorer.measure`. Without controls there
    is nothing off, and the intact values stand alone. Raises Stopped where ``go_on`` says so.
    """
    evaluator = evaluator_of(fitted.data)
    measured = []
    for one in fitted.all_maps([off, *controls] if controls else [], go_on):
        if not go_on():
            raise Stopped
        measured.append(evaluator.measure(one))
    chosen, *members = measured or [intact]
    return pd.DataFrame(
        [
            {
                "category": fitted.data.category,
                "level": metric[0],
                "metric": metric[1],
                "n_random_sets": len(members),
                "n_images": evaluator.n_images,
                "reason": evaluator.reasons.get(metric[0], ""),
                **_values(metric, intact, chosen, members),
            }
            for metric in METRICS
        ]
    )


def _values(
    metric: Metric, intact: Measurement, chosen: Measurement, members: Sequence[Measurement]
) -> dict[str, float]:
    if metric not in chosen.values:
        return {"intact": np.nan, "value": np.nan}
    row = {"intact": intact.values[metric], "value": chosen.values[metric]}
    if not members:
        return row
    values = [m.values[metric] for m in members]
    return {
        **row,
        **difference(chosen, intact, metric, _BOOTSTRAP).columns("change"),
        "control_mean": float(np.mean(values)),
        "control_min": min(values),
        "control_max": max(values),
        **difference_to(chosen, members, metric, _BOOTSTRAP).columns("difference"),
    }
