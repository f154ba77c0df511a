"""``evaluate``: score a labelled data set with fitted detectors and measure what they find."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.activations import Loading
from lakeviz.data import Dataset
from lakeviz.data.dataset import contents
from lakeviz.data.table import CLIP_COLUMNS
from lakeviz.errors import DataError
from lakeviz.journal import Journal
from lakeviz.lake.clip_rows import clip_table
from lakeviz.lake.controls import CONTROL_METRICS, compare_controls, control_maps
from lakeviz.lake.evaluation import Evaluation
from lakeviz.lake.fitted import FittedLake, described_units
from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.metric_rows import draw_table, image_rows, pixel_tables
from lakeviz.lake.paired_evaluator import GRID as CONTROL_GRID
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.provenance import as_plain, environment, versions
from lakeviz.lake.score_maps import PixelMaps, ScoreMaps
from lakeviz.lake.scoring import CONTROL_PREFIX, score_together
from lakeviz.lake.selection import NeuronSelection
from lakeviz.lake.stream_rows import foreground_rows, stream_table
from lakeviz.metrics import Bootstrap, Conventions
from lakeviz.metrics.clips import over_clips
from lakeviz.selector_names import SHUFFLED


def evaluate(
    lake: FittedLake,
    dataset: Dataset,
    *,
    further: Sequence[FittedLake] = (),
    towers: Mapping[str, Sequence[Sequence[FittedLake]]] | None = None,
    shuffled: Sequence[FittedLake] = (),
    loading: Loading | None = None,
    bootstrap: Bootstrap | None = None,
    journal: Journal | None = None,
) -> Evaluation:
    """Score a labelled data set and measure detection and localisation, with controls.

    Parameters
    ----------
    lake : Lake
        Fitted, with controls if they are wanted. Its maps and scores are those of the result.
    dataset : Dataset
        Images of one category; its test split if it has splits, else all of it.
    further : sequence of Lake
        Detectors of the same settings, fitted on other draws of the normal images. Metrics are then
        means over all draws, with intervals that hold the draws as well; the images pass the tower
        once.
    towers : mapping of name to sequences of Lake, optional
        Detectors on other towers that stand as controls, such as ``"untrained"``: for every tower
        of the name, its detectors in the order of the draws.
    shuffled : sequence of Lake, optional
        For each draw, a detector that was fitted on frames in random order; it scores those of the
        test clips in random order, as the control ``"shuffled_frames"``.
    loading : Loading, optional
    bootstrap : Bootstrap, optional
        Confidence, number of resamples and seed of all intervals.
    journal : Journal, optional
        Keeps every batch that was scored, and every control that was measured: another call of
        the same detectors and images goes on from there.

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError
        If there is no image, more than one category, or no data set with labels.
    """
    if not isinstance(dataset, Dataset):
        raise DataError(
            f"an evaluation needs a labelled data set, not {type(dataset).__name__}: "
            "read_dataset('mvtec', ROOT).category(NAME), for instance; score takes any images"
        )
    test = dataset.evaluated()
    if len(test) == 0:
        raise DataError(f"{dataset.name} has no test image")
    if len(test.categories) != 1:
        raise DataError(
            f"an evaluation is of one category; {dataset.name} has {len(test.categories)}: choose "
            "one with .category(name)"
        )
    bootstrap = bootstrap or Bootstrap(seed=lake.options.seed)
    lakes = [lake, *further]
    draws = score_together(lakes, test, loading=loading, journal=journal)
    controls = control_maps(draws)
    for name, members in (towers or {}).items():
        own = [
            score_together(member, test, loading=loading, journal=journal, label=f"{name} {number}")
            for number, member in enumerate(members)
        ]
        # From [tower][draw] to [draw][tower].
        controls[name] = [[one.parts["visual"] for one in row] for row in zip(*own, strict=True)]
    maps = draws[0]
    if shuffled:
        controls[SHUFFLED] = [
            [one] for one in _of_shuffled(shuffled, test, maps.sample_ids, loading, journal)
        ]
    kept = np.isin(test.sample_ids, maps.sample_ids)
    skipped, test = test.where(~kept), test.where(kept)
    conventions = Conventions(image_score=lake.options.image_score.describe())
    truth = Truth.of_dataset(test, maps.sizes, maps.map_size)
    resampling = over_clips(bootstrap, test.frames)
    image, pixel = _branches(draws)
    of_pixels, of_pixel_draws, curves = pixel_tables(pixel, truth, conventions, resampling)
    of_images, of_image_draws = image_rows(image, truth.labels, conventions, resampling)
    behind = foreground_rows(test, maps.sizes, pixel["lake"], truth, lake.options, resampling)
    evaluator = PairedEvaluator(
        truth=truth if truth.fits_in_memory else Truth(truth.labels, reason="maps are too large"),
        map_size=maps.map_size,
        sizes=maps.sizes,
        metrics=CONTROL_METRICS,
        bootstrap=resampling,
        image_score=lake.options.image_score,
        smoothing=maps.smoothing,
        geometry=maps.geometry,
        # Resamples of controls look at as many thresholds as those of studies.
        conventions=replace(conventions, interval_grid=CONTROL_GRID),
        journal=journal,
    )
    visual = [one.parts["visual"] for one in draws]
    tables = {
        "metrics": pd.DataFrame([*of_images, *of_pixels, *behind[0]]).assign(
            n_regions=truth.n_regions
        ),
        "draws": draw_table([*of_image_draws, *of_pixel_draws, *behind[1]]),
        "controls": compare_controls(visual, controls, lake.missing_controls, evaluator),
        "curves": curves,
        "clips": clip_table(
            image,
            pixel["lake"][0],
            truth,
            test.frames,
            of_images,
            resampling,
            lake.options.frame_smoothing,
        ),
        "streams": stream_table(
            draws,
            test.frame["defect_type"].tolist(),
            truth,
            test.frames,
            lake.options.image_score,
            bootstrap,
            conventions,
        ),
        "outliers": pd.DataFrame() if lake.outliers is None else lake.outliers.frame(),
    }
    for table in tables.values():
        table.insert(0, "category", test.categories[0])
    for one in draws:
        one.parts = {n: p for n, p in one.parts.items() if not n.startswith(CONTROL_PREFIX)}
    return Evaluation(
        category=test.categories[0],
        **tables,
        scores=_scores(test, maps),
        neurons=_neurons(lake),
        spectrum=spectrum_table(lake),
        maps=maps,
        dataset=test,
        provenance=_provenance(lakes, test, skipped, conventions, bootstrap),
    )


def _of_shuffled(
    lakes: Sequence[FittedLake],
    test: Dataset,
    sample_ids: Sequence[str],
    loading: Loading | None,
    journal: Journal | None,
) -> list[np.ndarray]:
    """Patch maps of frames that were scored in random order, in their own order again."""
    mixed = test.shuffled_frames(lakes[0].options.seed)
    found = score_together(lakes, mixed, loading=loading, journal=journal, label=SHUFFLED)
    place = {name: row for row, name in enumerate(found[0].sample_ids)}
    rows = [place[name] for name in sample_ids]
    return [one.parts["visual"][rows] for one in found]


def _branches(
    draws: Sequence[ScoreMaps],
) -> tuple[dict[str, list[np.ndarray]], dict[str, list[PixelMaps]]]:
    """Image scores and pixel maps of every branch, draw by draw.

    The text branch knows nothing of the normal images: it has one draw.
    """
    image = {"lake": [one.image_scores for one in draws]}
    pixel = {"lake": [PixelMaps(one, None) for one in draws]}
    first = draws[0]
    if "text" in first.parts:
        image["visual"] = [one.image_parts["visual"] for one in draws]
        pixel["visual"] = [PixelMaps(one, "visual") for one in draws]
        image |= {name: [first.image_parts[name]] for name in ("text", "text_image")}
        pixel["text"] = [PixelMaps(first, "text")]
    return image, pixel


def _provenance(
    lakes: Sequence[FittedLake],
    test: Dataset,
    skipped: Dataset,
    conventions: Conventions,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """Everything needed to make an evaluation again."""
    lake = lakes[0]
    return {
        "versions": versions(),
        "environment": environment(),
        "model": lake.describe_model(),
        "options": as_plain(lake.options),
        "points": list(lake.points),
        **described_units(lake.units),
        "text_weight": lake.text_weight,
        "class_name": lake.text.class_name if lake.text else None,
        "fit": {
            "n_images": len(lake.normal_ids),
            "sample_ids": lake.normal_ids,
            "draws": [one.normal_ids for one in lakes],
        },
        "test": {
            "name": test.name,
            "n_images": len(test),
            "fingerprint": test.fingerprint,
            "contents": contents(test),
            "skipped": skipped.sample_ids,
            "skipped_contents": contents(skipped),
        },
        "conventions": conventions.to_dict(),
        "bootstrap": asdict(bootstrap),
        "notes": list(test.notes),
        "outlier_warning": "" if lake.outliers is None else lake.outliers.warning(),
    }


def _scores(test: Dataset, maps: ScoreMaps) -> pd.DataFrame:
    columns = ["category", "sample_id", "label", "defect_type", *CLIP_COLUMNS]
    frame = test.frame.loc[:, [c for c in columns if c in test.frame]].copy()
    frame["score"] = maps.image_scores
    for name, values in maps.image_parts.items():
        if not name.startswith(CONTROL_PREFIX):
            frame[name] = values
    return frame.reset_index(drop=True)


def _neurons(lake: FittedLake) -> pd.DataFrame:
    neurons = [s.frame() for s in lake.visual.selections.values() if isinstance(s, NeuronSelection)]
    columns = pd.Index(["point", "rank", "channel", "score", "selector"])
    return pd.concat(neurons, ignore_index=True) if neurons else pd.DataFrame(columns=columns)


def spectrum_table(lake: FittedLake) -> pd.DataFrame:
    """Mean and variance of every channel of every hook point, and whether it is selected."""
    assert lake.statistics is not None
    parts = []
    for point, statistics in lake.statistics.items():
        selection = lake.visual.selections.get(point)  # none where joint selection chose none
        selected = np.zeros(statistics.n_channels, dtype=bool)
        if isinstance(selection, NeuronSelection):
            selected[selection.channels] = True
        parts.append(
            pd.DataFrame(
                {
                    "point": point,
                    "channel": np.arange(statistics.n_channels),
                    "mean": statistics.mean,
                    "variance": statistics.variance,
                    "selected": selected,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
