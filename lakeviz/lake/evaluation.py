"""Evaluation of a fitted detector on labelled images: tidy tables, maps and provenance."""

from __future__ import annotations

import html
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from lakeviz import renamed
from lakeviz.activations import Loading
from lakeviz.errors import DataError, StoreError
from lakeviz.files import read_arrays, remove, write_arrays, write_json, write_parquet
from lakeviz.lake.controls import CONTROL_METRICS, CONTROL_PREFIX, compare_controls
from lakeviz.lake.evaluation_files import EVALUATION, MAPS, TABLES, read_description, read_table
from lakeviz.lake.fitted import PROTOCOL, FittedLake
from lakeviz.lake.ground_truth import Truth, mask_at
from lakeviz.lake.metric_rows import image_rows, pixel_tables
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.provenance import as_plain, versions
from lakeviz.lake.score_maps import PixelMaps, ScoreMaps
from lakeviz.lake.selection import NeuronSelection
from lakeviz.metrics import Bootstrap, Conventions, metric_title
from lakeviz.metrics.estimates import estimate
from lakeviz.notebook import NotebookView, table_html

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from lakeviz.data import Dataset

_log = logging.getLogger(__name__)


@dataclass
class Evaluation(NotebookView):
    """Scores and metrics of one detector on one category.

    Attributes
    ----------
    category : str
    metrics : DataFrame
        One row per branch, level and metric: value, interval (low, high, confidence), number of
        images, and a reason where it is missing. Branches: ``lake`` (fused) and, with text,
        ``visual``, ``text`` and ``text_image``; without one, ``lake`` is the visual branch.
    scores : DataFrame
        One row per image: sample id, label, defect type, image scores of every branch.
    controls : DataFrame
        The visual branch compared with controls of the same size: value with its interval, mean and
        range of the control's members, and the difference with its interval.
    neurons : DataFrame
        The selected neurons: point, rank, channel, variance.
    spectrum : DataFrame
        Mean and variance of every channel of every point, and whether it is selected.
    curves : DataFrame
        Curves of the pixels of the fused map with their bands, see
        :func:`lakeviz.metrics.curve_table.curve_table`; empty where there are none.
    maps : ScoreMaps
    dataset : Dataset
        The images evaluated, in the order of ``maps``.
    provenance : dict
        Weights hash, data fingerprints, settings, seed, conventions, versions.
    """

    category: str
    metrics: pd.DataFrame
    scores: pd.DataFrame
    controls: pd.DataFrame
    neurons: pd.DataFrame
    spectrum: pd.DataFrame
    curves: pd.DataFrame
    maps: ScoreMaps
    dataset: Dataset
    provenance: dict[str, Any]

    def mask(self, index: int) -> Bool[np.ndarray, "height width"]:
        """Ground-truth mask of one image, at the size of its pixel map."""
        return pixel_mask(self.dataset, self.maps, index)

    @renamed.parameters(part="branch")
    def value(self, metric: str, level: str = "image", branch: str = "lake") -> float:
        """Value of one metric.

        Raises
        ------
        DataError
            If it was not measured.
        """
        keyed = self.metrics.set_index(["branch", "level", "metric"])["value"]
        if (branch, level, metric) not in keyed.index:
            raise DataError(f"{self.category}: no {level} {metric} of {branch!r} was measured")
        return float(keyed.loc[(branch, level, metric)])

    def save(self, folder: str | Path) -> Path:
        """Write tables, maps and, last, ``evaluation.json``: where it is, the rest is whole.

        Raises
        ------
        OutputError
            If something cannot be written.
        """
        folder = Path(folder)
        remove(folder / EVALUATION)
        for name in TABLES:
            write_parquet(folder / f"{name}.parquet", getattr(self, name))
        write_arrays(folder / MAPS, self.maps.arrays())
        described = {
            "protocol": PROTOCOL,
            "category": self.category,
            "maps": self.maps.plain(),
            "provenance": self.provenance,
        }
        write_json(folder / EVALUATION, described)
        return folder

    @classmethod
    def load(cls, folder: str | Path, dataset: Dataset) -> Evaluation:
        """Read an evaluation back.

        Parameters
        ----------
        folder : path
            As written by :meth:`save`.
        dataset : Dataset
            The data it was made on (its masks are read from there).

        Raises
        ------
        StoreError
            If it is missing, damaged, or the data have other images.
        """
        folder = Path(folder)
        described = read_description(folder)
        tables = {name: read_table(folder, name) for name in TABLES}
        maps = ScoreMaps.from_plain(described["maps"], read_arrays(folder / MAPS))
        test = dataset.where(np.isin(dataset.sample_ids, maps.sample_ids))
        if test.sample_ids != maps.sample_ids:
            raise StoreError(f"{folder} was made on other images than {dataset.name} has now")
        provenance = described["provenance"]
        return cls(described["category"], **tables, maps=maps, dataset=test, provenance=provenance)

    def summary(self) -> str:
        """One sentence: the main metrics with intervals, and the number of images."""
        rows = self.metrics[self.metrics["branch"] == "lake"].set_index(["level", "metric"])
        bootstrap = Bootstrap.from_plain(self.provenance.get("bootstrap"))
        n, shots = len(self.scores), self.provenance["fit"]["n_images"]
        said = []
        for level, metric in CONTROL_METRICS:
            if (level, metric) in rows.index and np.isfinite(rows.loc[(level, metric), "value"]):
                said.append(f"{metric_title(level, metric)} {estimate(rows.loc[(level, metric)])}")
        return (
            f"{self.category}: {', '.join(said) or 'no metric is defined'} on {n} test images, "
            f"fitted on {shots}; intervals are "
            f"{100 * bootstrap.confidence:g} % bootstrap over images."
        )

    def _table_html(self) -> str:
        columns = ["branch", "level", "metric", "value", "low", "high", "n_images"]
        return f"<p>{html.escape(self.summary())}</p>" + table_html(
            self.metrics.loc[:, columns], ".metrics"
        )

    def _figure(self) -> go.Figure:
        from lakeviz.plots.distributions import f1_max_threshold, score_figure

        threshold, title = f1_max_threshold(self.metrics), f"Image scores: {self.category}"
        return score_figure(self.scores, threshold=threshold, title=title)


save_evaluation, load_evaluation = Evaluation.save, Evaluation.load


def pixel_mask(dataset: Dataset, maps: ScoreMaps, index: int) -> Bool[np.ndarray, "height width"]:
    """Mask of an image at the size of its pixel map; resized by nearest neighbour if need be."""
    return mask_at(dataset, index, maps.sizes[index], maps.map_size)


def evaluate(
    lake: FittedLake,
    dataset: Dataset,
    *,
    loading: Loading | None = None,
    bootstrap: Bootstrap | None = None,
) -> Evaluation:
    """Score a labelled data set and measure detection and localisation, with controls.

    Parameters
    ----------
    lake : Lake
        Fitted, with controls if they are wanted.
    dataset : Dataset
        Images of one category; its test split if it has splits, else all of it.
    loading : Loading, optional
    bootstrap : Bootstrap, optional
        Confidence, number of resamples and seed of all intervals.

    Returns
    -------
    Evaluation

    Raises
    ------
    DataError
        If there is no image, or more than one category.
    """
    test = dataset.split("test") if "test" in set(dataset.frame["split"]) else dataset
    if len(test) == 0:
        raise DataError(f"{dataset.name} has no test image")
    if len(test.categories) != 1:
        raise DataError(
            f"an evaluation is of one category; {dataset.name} has {len(test.categories)}: choose "
            "one with .category(name)"
        )
    bootstrap = bootstrap or Bootstrap(seed=lake.options.seed)
    maps = lake.score(test, loading=loading)
    if maps.skipped:
        test = test.where(np.isin(test.sample_ids, maps.sample_ids))
    conventions = Conventions(image_score=lake.options.image_score.describe())
    truth = Truth.of_dataset(test, maps.sizes, maps.map_size)
    image: dict[str, Any] = {"lake": maps.image_scores}
    pixel: dict[str, Any] = {"lake": PixelMaps(maps, None)}
    if "text" in maps.parts:
        image |= {name: maps.image_parts[name] for name in ("visual", "text", "text_image")}
        pixel |= {name: PixelMaps(maps, name) for name in ("visual", "text")}
    of_pixels, curves = pixel_tables(pixel, truth, conventions, bootstrap)
    of_images = image_rows(image, truth.labels, conventions, bootstrap)
    metrics = pd.DataFrame([*of_images, *of_pixels])
    evaluator = PairedEvaluator(
        truth=truth if truth.fits_in_memory else Truth(truth.labels, reason="maps are too large"),
        map_size=maps.map_size,
        sizes=maps.sizes,
        metrics=CONTROL_METRICS,
        bootstrap=bootstrap,
        image_score=lake.options.image_score,
        smoothing=maps.smoothing,
        conventions=conventions,
    )
    controls = compare_controls(maps, evaluator)
    category = test.categories[0]
    for table in (metrics, controls, curves):
        table.insert(0, "category", category)
    maps.parts = {n: p for n, p in maps.parts.items() if not n.startswith(CONTROL_PREFIX)}
    scores = _scores(test, maps)
    provenance = _provenance(lake, test, conventions, bootstrap)
    return Evaluation(
        category=category,
        metrics=metrics,
        scores=scores,
        controls=controls,
        neurons=_neurons(lake),
        spectrum=_spectrum(lake),
        curves=curves,
        maps=maps,
        dataset=test,
        provenance=provenance,
    )


def _provenance(
    lake: FittedLake, test: Dataset, conventions: Conventions, bootstrap: Bootstrap
) -> dict[str, Any]:
    """Everything needed to make an evaluation again."""
    return {
        "versions": versions(),
        "model": lake.describe_model(),
        "options": as_plain(lake.options),
        "points": list(lake.points),
        "text_weight": lake.text_weight,
        "class_name": lake.text.class_name if lake.text else None,
        "fit": {"n_images": len(lake.normal_ids), "sample_ids": lake.normal_ids},
        "test": {"name": test.name, "n_images": len(test), "fingerprint": test.fingerprint},
        "conventions": conventions.to_dict(),
        "bootstrap": asdict(bootstrap),
        "notes": list(test.notes),
        "controls": [name for name in lake.branches if name != "lake"],
    }


def _scores(test: Dataset, maps: ScoreMaps) -> pd.DataFrame:
    frame = test.frame.loc[:, ["category", "sample_id", "label", "defect_type"]].copy()
    frame["score"] = maps.image_scores
    for name, values in maps.image_parts.items():
        if not name.startswith(CONTROL_PREFIX):
            frame[name] = values
    return frame.reset_index(drop=True)


def _neurons(lake: FittedLake) -> pd.DataFrame:
    neurons = [s.frame() for s in lake.visual.selections.values() if isinstance(s, NeuronSelection)]
    columns = pd.Index(["point", "rank", "channel", "score", "selector"])
    return pd.concat(neurons, ignore_index=True) if neurons else pd.DataFrame(columns=columns)


def _spectrum(lake: FittedLake) -> pd.DataFrame:
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
