"""One test image with the values that some units have in its twin without the defect.

Units are neurons, or those that the data were made with: what these do not explain of a token (the
error of an autoencoder) stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import select_tokens, token_grid
from lakeviz.activations.tokens import as_activation
from lakeviz.errors import DataError
from lakeviz.explorer.fitted import Fitted
from lakeviz.explorer.views import Dropped
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

    Attributes
    ----------
    kind : str
        ``"rendered"`` or ``"inpainted"``, which is approximate.
    image, twin : Tensor [1, 3, height, width]
    tokens : dict of hook point to Tensor [1, token, channel]
        All tokens of the twin.
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
