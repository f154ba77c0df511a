"""Items of a model and a data set, or of a run: each normal image passes the tower once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeviz.activations import ChannelStatistics, ImageStatistics, Loading, TokenBatches
from lakeviz.data import Dataset, FewShotDraw
from lakeviz.data.inputs import ImageItems
from lakeviz.errors import ConfigError, DataError
from lakeviz.lake import SubspaceSelection, layer_points, select
from lakeviz.lake.layers import unit_points, widths_of
from lakeviz.lake.selectors import check_k
from lakeviz.progress import Progress, expect, step
from lakeviz.studies.overlap.result import Settings
from lakeviz.studies.overlap.selections import OverlapItem
from lakeviz.units.base import Units, encoded, units_by_point

if TYPE_CHECKING:
    from lakeviz.models import VisionModel
    from lakeviz.studies.base.study_run import StudyRun

DEFAULT_POOL = Settings.default("pool")
Draws = Mapping[tuple[str, int], FewShotDraw]
"""Draws of one category by what was asked for: shots and seed."""


def capture_items(
    model: VisionModel,
    dataset: Dataset,
    k: int,
    *,
    shots: Sequence[int | str] = (4,),
    seeds: Sequence[int] = (0,),
    points: Sequence[int | str] | None = None,
    pool: int = DEFAULT_POOL,
    name: str | None = None,
    loading: Loading | None = None,
    units: Units | Sequence[Units] | None = None,
) -> list[OverlapItem]:
    """Make the items of every category of a data set.

    Per category the images of all draws, and further normal training images up to ``pool``, are
    streamed once; nothing is kept but the statistics of each image, and ``k`` principal directions
    of each draw.

    Parameters
    ----------
    model : VisionModel
    dataset : Dataset
        Of one or more categories, with a training split.
    k : int
        Number of principal directions, the same as the number of neurons.
    shots : sequence of int or "all"
        Normal images of a draw; one item for each.
    seeds : sequence of int
        Seeds of the draws; one item for each.
    points : sequence of int or str, optional
        Hook points, as for the detector.
    pool : int
        Captured images to redraw from, for the overlap of a category with itself.
    name : str, optional
        Of the data set; its reader's by default.
    loading : Loading, optional
    units : Units or sequence of Units, optional
        What is selected in place of neurons: one set for each hook point.

    Raises
    ------
    ConfigError, SelectionError, FewShotError
        If a layer, ``k`` or a draw does not fit.
    """
    if not shots or not seeds:
        raise ConfigError("name one number of shots and one seed at least")
    given = units_by_point(units)
    named, wanted = name or dataset.name, unit_points(model, points, given)
    items: list[OverlapItem] = []
    for own in map(dataset.category, dataset.categories):
        draws = _draws(own, shots, seeds)
        items += capture_category(
            model, own, draws, k, wanted, pool=pool, name=named, loading=loading, units=given
        )
    return items


def run_items(
    run: StudyRun,
    k: int,
    *,
    categories: Sequence[str] | None = None,
    shots: Sequence[int | str] = (),
    seeds: Sequence[int] = (),
    n_draws: int | None = None,
    points: Sequence[int | str] | None = None,
    pool: int = DEFAULT_POOL,
    name: str | None = None,
    announce: Callable[[str], None] = lambda line: None,
) -> list[OverlapItem]:
    """Make the items of a run: of the very images it was fitted on, unless told otherwise.

    Parameters
    ----------
    run, k, pool, name
        See :func:`capture_items`.
    categories, points : sequences, optional
        Those of the run by default.
    shots, seeds : sequences
        Draws to make instead; where one of the two is empty, it is the run's own.
    n_draws : int, optional
        How many of the run's own draws; all by default. The ``seed`` of the second draw is that of
        the run plus 1, and so on.
    announce : callable, optional
        Told how far it is, as each category begins.
    """
    spec, named = run.spec, name or run.dataset.name
    wanted = layer_points(run.model, points or spec.options.layers, spec.options.streams)
    items: list[OverlapItem] = []
    for category in Progress("overlap", run.chosen(categories), announce):
        own = run.dataset.category(category)
        if shots or seeds:
            draws = _draws(own, shots or (spec.shots,), seeds or (spec.seed,))
        else:
            own_draws = run.draws(category)[:n_draws]
            draws = {(str(spec.shots), spec.seed + n): one for n, one in enumerate(own_draws)}
        items += capture_category(
            run.model, own, draws, k, wanted, pool=pool, name=named, loading=run.loading
        )
    return items


def _draws(own: Dataset, shots: Sequence[int | str], seeds: Sequence[int]) -> Draws:
    return {(str(n), seed): own.few_shot(n, seed) for n in shots for seed in seeds}


def capture_category(
    model: VisionModel,
    own: Dataset,
    draws: Draws,
    k: int,
    points: Sequence[str],
    *,
    pool: int = DEFAULT_POOL,
    name: str,
    loading: Loading | None = None,
    units: Mapping[str, Units] | None = None,
) -> list[OverlapItem]:
    """Stream the images of one category once and make an item per draw and hook point."""
    units = units or {}
    for point, width in widths_of(model, points, units).items():
        check_k("variance", k, width, point)
    members = {key: set(draw.sample_ids) for key, draw in draws.items()}
    parts: dict[str, list[ImageStatistics]] = {p: [] for p in points}
    covariances = {(key, p): ChannelStatistics(p, True) for key in draws for p in points}
    images = _images(own, draws, pool)
    expect(len(images), of="images")
    for batch in TokenBatches(model, images, points, loading=loading, label=own.categories[0]):
        present, ids = batch.complete
        for point, tokens in encoded(units, present).items():
            parts[point].append(ImageStatistics.of_tokens(point, tokens, ids))
            for key, drawn in members.items():
                rows = [row for row, sample_id in enumerate(ids) if sample_id in drawn]
                covariances[key, point].update(tokens[rows])
        step(len(ids), "images")
    items, weights = [], model.weights_hash
    for point, found in parts.items():
        identity = f"{weights} {units[point].hash}" if point in units else weights
        of_images = ImageStatistics.concatenate(found)
        for (shots, seed), drawn in members.items():
            rows = [i for i, s in enumerate(of_images.sample_ids) if s in drawn]
            if not rows:
                raise DataError(f"{name}: no image of the draw {shots}, seed {seed}, could be read")
            subspace = select(covariances[(shots, seed), point], k, "pca")
            assert isinstance(subspace, SubspaceSelection)
            what = (name, own.categories[0], of_images, tuple(rows), shots, seed, subspace)
            items.append(OverlapItem(*what, weights_hash=identity))
    return items


def _images(own: Dataset, draws: Draws, pool: int) -> ImageItems:
    """Images of all draws, then others of the training split; of clips those of the draws alone."""
    found: dict[str, tuple[Any, ...]] = {}
    for draw in draws.values():
        _add(found, draw.sample_ids, draw.paths, draw.frames, draw.depths)
    train = own.split("train").normal()
    if not train.frames:  # else single frames would tear clips apart
        order = np.argsort(train.sample_ids, kind="stable")
        seed = min(seed for _, seed in draws)
        for row in order[np.random.default_rng(seed).permutation(len(train))]:
            if len(found) >= pool:
                break
            one = train[int(row) : int(row) + 1]
            _add(found, one.sample_ids, one.paths, (), one.depths)
    paths, frames, depths = (list(column) for column in zip(*found.values()))
    return ImageItems(
        paths, list(found), [] if None in frames else frames, [] if None in depths else depths
    )


def _add(found: dict[str, tuple[Any, ...]], names: Sequence[str], *columns: Sequence[Any]) -> None:
    """Take in images with their paths, frames and depth maps, None where there are none."""
    rows = zip(*(column or [None] * len(names) for column in columns), strict=True)
    for name, row in zip(names, rows, strict=True):
        found.setdefault(name, row)
