"""``capture_study``: from images to :class:`StudyData`; each image passes the tower once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Bool

from lakeviz.activations import Images, Loading, token_grid
from lakeviz.activations.changes import have_tokens, reach_of
from lakeviz.activations.token_subsets import CapturedTokens, capture_tokens
from lakeviz.data import Dataset, FewShotDraw, from_dataframe
from lakeviz.data.images import image_size
from lakeviz.data.inputs import ImageItems, as_images
from lakeviz.errors import DataError
from lakeviz.lake import LakeOptions, fit_text, layer_points
from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.layers import unit_points, widths_of, with_k
from lakeviz.lake.text import text_weight_of
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.text_maps import text_maps
from lakeviz.studies.base.unit_data import on_units
from lakeviz.units.base import Units, units_by_point

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

STUDY_MAP_SIZE = (128, 128)


def capture_study(
    model: VisionModel,
    normal: FewShotDraw | Images,
    dataset: Dataset | pd.DataFrame,
    *,
    options: LakeOptions | None = None,
    points: Sequence[int | str] | None = None,
    class_name: str | None = None,
    full_size: bool = False,
    cache: str | Path | None = None,
    loading: Loading | None = None,
    units: Units | Sequence[Units] | None = None,
) -> StudyData:
    """Capture what the studies of one category need: each image passes the tower once.

    Parameters
    ----------
    model : VisionModel
    normal : FewShotDraw, Dataset, folder or paths
        Normal images to fit on; files, since a study names them.
    dataset : Dataset or DataFrame
        Labelled images of one category; its test split where it has splits. A table is read as by
        :func:`lakeviz.data.from_dataframe`, with paths from the working folder.
    options : LakeOptions, optional
        Settings of the detector under study. Where ``map_size`` is None, pixel maps are 128 x 128,
        since a study measures hundreds of conditions.
    points : sequence of int or str, optional
        Hook points to capture; those of ``options.layers`` by default.
    class_name : str, optional
        What prompts call the thing; the category by default.
    full_size : bool
        Keep a ``map_size`` of None: pixel maps of each image's own size.
    cache : path, optional
        Folder of activation stores, shared by all studies; in memory without it.
    loading : Loading, optional
    units : Units or sequence of Units, optional
        What stands in place of neurons, such as the latents of an SAE: one set for each hook point.
        The data hold no model then; studies that change the network refuse them.

    Returns
    -------
    StudyData
        Of all images; where streams look at earlier frames, of the frames that have those.

    Raises
    ------
    DataError
        If there is no image, more than one category, or a normal image that is anomalous or a
        test image.
    StoreError, CaptureTooLargeError
        As :func:`lakeviz.activations.capture_to_store`.
    ConfigError
        If units do not fit the model, or other points than theirs are named.
    """
    options = options or LakeOptions()
    if options.map_size is None and not full_size:
        options = replace(options, map_size=STUDY_MAP_SIZE)
    if isinstance(dataset, pd.DataFrame):
        dataset = from_dataframe(dataset, Path.cwd())
    test = dataset.evaluated()
    if not isinstance(normal, FewShotDraw | Dataset):
        normal = _listed(normal, test)
    _check(normal, test, dataset)
    category = test.categories[0]
    given = units_by_point(units)
    asked, streams = points if points is not None else options.layers, options.streams
    layers = unit_points(model, asked, given, streams)
    own = layers if given or points is None else layer_points(model, options.layers, streams)
    options = with_k(options, widths_of(model, own, given).values())
    weight = text_weight_of(model, options.text_weight)
    wanted = list(layers)
    text = None
    if weight > 0:
        name = class_name or category.replace("_", " ")
        text = fit_text(model, name, options.text)
        last = f"blocks.{model.n_blocks - 1}.hook_resid_post"
        wanted = list(dict.fromkeys([*wanted, text.point, last]))
    fitted, shown = _complete(
        capture_tokens(model, normal, layers, cache=cache, loading=loading), layers, normal
    )
    captured, kept = _complete(
        capture_tokens(model, test, wanted, cache=cache, loading=loading), layers, test
    )
    test = test.where(kept)
    scored = None
    if text is not None:
        scored = text_maps(model, text, captured, test, cache=cache, loading=loading)
    sizes = [image_size(path) for path in test.paths]
    grids = {p: token_grid(model.tower, p) for p in layers}
    ids = [one for one, is_shown in zip(normal.sample_ids, shown, strict=True) if is_shown]
    made = StudyData(
        category=category,
        points=layers,
        normal=fitted,
        test=captured,
        grids=grids,
        truth=Truth.of_dataset(test, sizes, options.map_size),
        sizes=sizes,
        options=options,
        text=scored,
        text_weight=weight,
        # Nothing can be done to the network where each part of an image passes it alone.
        model=model if model.tower.tiles == (1, 1) else None,
        geometry=model.preprocess.geometry,
        dataset=test,
        normal_paths=tuple(p for p, is_shown in zip(normal.paths, shown, strict=True) if is_shown),
        provenance={
            "model": model.describe(),
            "class_name": None if text is None else text.class_name,
            "fit": {"n_images": len(ids), "sample_ids": ids, "seed": getattr(normal, "seed", None)},
            "test": {"name": test.name, "n_images": len(test), "fingerprint": test.fingerprint},
        },
    )
    return on_units(made, list(given.values())) if given else made


def _complete(
    captured: CapturedTokens, points: Sequence[str], images: FewShotDraw | Dataset
) -> tuple[CapturedTokens, Bool[np.ndarray, " image"]]:
    """Leave out the first frames of clips, which have no token on streams over time."""
    have = have_tokens(points, images.frames, len(captured))
    if have.all():
        return captured, have
    if not have.any():
        raise DataError(
            f"no frame has {reach_of(points)} frames of its clip before it, at which "
            f"{', '.join(p for p in points if reach_of([p]))} looks"
        )
    return captured.some(np.flatnonzero(have).tolist()), have


def _listed(images: Images, test: Dataset) -> FewShotDraw:
    """Draw of images that were listed by hand."""
    found = as_images(images)
    if not isinstance(found, ImageItems) or found.in_memory:
        raise DataError("a study names the files it was fitted on; give a folder, paths or a draw")
    paths = tuple(Path(path).absolute() for path in found.items)
    root = test.root
    names = [p.relative_to(root) if p.is_relative_to(root) else p for p in paths]
    ids = tuple(name.as_posix() for name in names)
    return FewShotDraw(test.name, ", ".join(test.categories), None, None, ids, paths)


def _check(normal: FewShotDraw | Dataset, test: Dataset, dataset: Dataset) -> None:
    if len(test) == 0:
        raise DataError(f"{dataset.name} has no test image")
    if len(test.categories) != 1:
        raise DataError(
            f"a study is of one category; {dataset.name} has {len(test.categories)}: choose one "
            "with .category(name)"
        )
    if isinstance(normal, Dataset) and normal.labels.any():
        raise DataError(
            f"{int(normal.labels.sum())} of the {len(normal)} images to fit on are anomalous; pass "
            "dataset.normal() or a few-shot draw"
        )
    both = set(normal.sample_ids) & set(test.sample_ids)
    if both:
        raise DataError(f"{sorted(both)[0]} is a test image, which fitting must not see")
