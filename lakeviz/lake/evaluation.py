"""Evaluation of a fitted detector on labelled images: tidy tables, maps and provenance."""

from __future__ import annotations

import html
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool

from lakeviz import renamed
from lakeviz.errors import DataError, StoreError, no_attribute
from lakeviz.files import read_arrays, write_arrays, write_json, write_parquet, written_together
from lakeviz.lake.controls import CONTROL_METRICS
from lakeviz.lake.elsewhere import OF_EVALUATION
from lakeviz.lake.evaluation_files import (
    CLIPS,
    EVALUATION,
    MAPS,
    STREAMS,
    TABLES,
    read_description,
    read_table,
)
from lakeviz.lake.fitted import PROTOCOL
from lakeviz.lake.ground_truth import region_mask_at
from lakeviz.lake.score_maps import ScoreMaps
from lakeviz.metrics import Bootstrap, RegionMask, metric_title
from lakeviz.metrics.estimates import estimate
from lakeviz.notebook import NotebookView, table_html
from lakeviz.tables import n_draws, over_regions, records
from lakeviz.wording import counted

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from lakeviz.data import Dataset


@dataclass(repr=False)
class Evaluation(NotebookView):
    """Scores and metrics of one detector on one category.

    Attributes
    ----------
    category : str
    metrics : DataFrame
        One row per branch, level and metric: value, interval (low, high, confidence), numbers of
        images, of regions (AUPRO) and of draws of the normal images, the share of each source in
        the variance, and a reason where it is missing. The value is the mean over draws. Branches:
        ``lake`` (fused) and, with text, ``visual``, ``text`` and ``text_image``; without one,
        ``lake`` is the visual branch.
    draws : DataFrame
        The same metrics on each draw of the normal images; maps and scores are of draw 0.
    scores : DataFrame
        One row per image: sample id, label, defect type, image scores of every branch.
    controls : DataFrame
        The visual branch compared with controls: value with its interval, mean and range of the
        control's members, and the difference with its interval
        (:class:`lakeviz.metrics.comparison.Comparison`); a reason where one could not be made.
    neurons : DataFrame
        The selected neurons: point, rank, channel, variance.
    spectrum : DataFrame
        Mean and variance of every channel of every point, and whether it is selected.
    curves : DataFrame
        Curves of the pixels of the fused map with their bands, see
        :func:`lakeviz.metrics.curve_table.curve_table`; empty where there are none.
    outliers : DataFrame
        What dominates the variance of the normal patch tokens, by hook point
        (:class:`lakeviz.lake.outliers.PointOutliers`).
    clips : DataFrame
        Frames of clips: micro and macro AUROC, events, RBDC and TBDC, and each clip
        (:mod:`lakeviz.lake.clip_rows`); empty where the images are no frames.
    streams : DataFrame
        Each stream alone and all fused, by kind of defect (:mod:`lakeviz.lake.stream_rows`); empty
        where there is one stream.
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
    draws: pd.DataFrame = field(default_factory=pd.DataFrame)
    outliers: pd.DataFrame = field(default_factory=pd.DataFrame)
    clips: pd.DataFrame = field(default_factory=pd.DataFrame)
    streams: pd.DataFrame = field(default_factory=pd.DataFrame)

    def mask(self, index: int) -> Bool[np.ndarray, "height width"]:
        """Ground-truth mask of one image, at the size of its pixel map."""
        return self.regions(index).defect

    def regions(self, index: int) -> RegionMask:
        """The mask of one image with its regions, labelled before it was resized."""
        maps = self.maps
        return region_mask_at(self.dataset, index, maps.sizes[index], maps.map_size)

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
        """Write tables, maps and ``evaluation.json``, all together.

        Raises
        ------
        OutputError
            If something cannot be written.
        """
        with written_together(folder) as scratch:
            tables = {
                name: write_parquet(scratch / f"{name}.parquet", getattr(self, name))
                for name in [*TABLES, *(n for n in (CLIPS, STREAMS) if len(getattr(self, n)))]
            }
            described = {
                "protocol": PROTOCOL,
                "category": self.category,
                "maps": self.maps.plain(),
                "maps_sha256": write_arrays(scratch / MAPS, self.maps.arrays()),
                "sha256": tables,
                "provenance": self.provenance,
            }
            write_json(scratch / EVALUATION, described, sealed=True)
        return Path(folder)

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
        tables = {name: read_table(folder, name) for name in (*TABLES, CLIPS, STREAMS)}
        maps = ScoreMaps.from_plain(
            described["maps"], read_arrays(folder / MAPS, described.get("maps_sha256"))
        )
        test = dataset.where(np.isin(dataset.sample_ids, maps.sample_ids))
        if test.sample_ids != maps.sample_ids:
            raise StoreError(f"{folder} was made on other images than {dataset.name} has now")
        provenance = described["provenance"]
        return cls(described["category"], **tables, maps=maps, dataset=test, provenance=provenance)

    def summary(self) -> str:
        """The main metrics with intervals, what they are over, and what to know of them."""
        rows = self.metrics[self.metrics["branch"] == "lake"].set_index(["level", "metric"])
        bootstrap = Bootstrap.from_plain(self.provenance.get("bootstrap"))
        n, shots = len(self.scores), self.provenance["fit"]["n_images"]
        said = []
        for level, metric in CONTROL_METRICS:
            if (level, metric) in rows.index and np.isfinite(rows.loc[(level, metric), "value"]):
                row = rows.loc[(level, metric)]
                over = over_regions(row, metric)
                said.append(f"{metric_title(level, metric)} {estimate(row)}{over and f' ({over})'}")
        draws = n_draws(rows)
        over = "images" if self.clips.empty else "clips"
        over = over if draws == 1 else f"{over} and draws"
        fitted = counted(shots, "normal image") + (
            f", mean over {draws} draws" if draws > 1 else ""
        )
        return " ".join(
            [
                f"{self.category}: {', '.join(said) or 'no metric is defined'} on "
                f"{counted(n, 'test image')}, fitted on {fitted}; "
                f"{100 * bootstrap.confidence:g} % intervals over {over}.",
                *self._of_streams(),
                *(f"{note[:1].upper()}{note[1:]}." for note in self.notes),
            ]
        )

    def _of_streams(self) -> list[str]:
        """The image AUROC of every stream alone and of all fused, where there are several."""
        rows = records(self.streams, defect_type="all", level="image") if len(self.streams) else []
        said = ", ".join(f"{row['stream']} {estimate(row)}" for row in rows)
        return [f"{metric_title('image', 'auroc')} by stream: {said}."] if said else []

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers has to know: intervals that may cover less, outliers."""
        warning = self.provenance.get("outlier_warning") or ""
        short: dict[str, list[str]] = {}
        for row in records(self.metrics, branch="lake"):
            key = row["level"], row["metric"]
            if row.get("note") and key in CONTROL_METRICS and np.isfinite(row["low"]):
                short.setdefault(row["note"], []).append(metric_title(*key))
        said = [f"the interval of {' and '.join(names)} {note}" for note, names in short.items()]
        return [*said, *([warning.rstrip(".")] if warning else [])]

    def plot(self, kind: str = "scores") -> go.Figure:
        """Draw a figure.

        Parameters
        ----------
        kind : str
            ``"scores"``, ``"gallery"``, ``"roc"``, ``"pr"``, ``"pro"``, ``"metrics"``,
            ``"controls"``, ``"spectrum"``, ``"outliers"`` or ``"matrix"``; of clips also
            ``"timeline"`` or ``"film"``. They are those of ``lakeviz figure``.

        Raises
        ------
        ConfigError
            If there is no such kind.
        DataError
            If the evaluation lacks what it shows.
        """
        from lakeviz.lake.figures import plot

        return plot(self, kind)

    def heatmap(self, image: int | str) -> go.Figure:
        """Patch scores over one test image, given by position or sample id.

        Raises
        ------
        DataError
            If there is no such image.
        """
        from lakeviz.lake.drawing import heatmap

        return heatmap(self, image)

    def gallery(self, per_group: int = 6) -> go.Figure:
        """Best, worst and typical test images with their heat maps, up to so many of each."""
        from lakeviz.lake.drawing import gallery
        from lakeviz.plots import choose_images

        return gallery(self, choose_images(self.scores, per_group))

    if not TYPE_CHECKING:  # else type checkers take any name

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, OF_EVALUATION)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.summary()}>"

    def _table_html(self) -> str:
        columns = ["branch", "level", "metric", "value", "low", "high", "n_images"]
        # The fused map first, images and pixels: what is asked first stands above the fold.
        first = [
            (row["branch"] != "lake", (row["level"], row["metric"]) not in CONTROL_METRICS)
            for row in records(self.metrics)
        ]
        table = self.metrics.iloc[sorted(range(len(first)), key=first.__getitem__)]
        return f"<p>{html.escape(self.summary())}</p>" + table_html(table[columns], ".metrics")

    def _figure(self) -> go.Figure:
        return self.plot("scores")


save_evaluation, load_evaluation = Evaluation.save, Evaluation.load
