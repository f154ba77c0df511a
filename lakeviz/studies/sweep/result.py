"""Settings and result of the study ``sweep``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import estimate, mean_over_categories
from lakeviz.metrics.measurement import Metric
from lakeviz.metrics.registry import metric_title
from lakeviz.selector_names import selector_name
from lakeviz.settings import most_workers
from lakeviz.studies.base import settings
from lakeviz.studies.base.findings import Finding
from lakeviz.studies.base.result import Figures, StudyResult
from lakeviz.studies.base.settings import option
from lakeviz.studies.sweep.marginals import AXIS_TITLES, unit_means
from lakeviz.tables import is_measured, numbers, records, rows, where

BACKENDS: tuple[str, ...] = ("loky", "threading", "sequential", "dask", "ray")
_ROWS = 12
# Which axis lies along the figure, which is shown by lines, which by panels: the first that vary.
_ALONG = ("k", "shots", "text_weight", "layer", "neighbours", "coreset", "seed")
_LINES = ("selector", "normalisation", "distance", "image_score", "layer", "model", "category")


NO_AXIS = f"a sweep needs an axis to vary, such as k=10,20; there are {', '.join(AXIS_TITLES)}"


@dataclass(frozen=True)
class Settings(settings.Settings):
    """Evaluate the detector of RUN on a grid of settings.

    What the grid does not name is as in RUN. The same command again goes on where it was stopped
    and tries again what failed.
    """

    grid: tuple[str, ...] = option(
        (),
        f"An axis and its values, such as k=10,20 or layer=3,5+6. Axes: {', '.join(AXIS_TITLES)}.",
    )
    n_jobs: int = option(2, "Tasks at a time; -1: all processors.", least=-1, most=most_workers())
    backend: str = option(
        "loky", "On this machine, or a cluster that runs: dask, ray.", choices=BACKENDS
    )
    address: str | None = option(None, "Of the cluster, such as tcp://host:8786.")
    n_random_sets: int = option(5, "Random sets of a random control.", least=1, was="random_draws")

    def check(self) -> None:
        """Refuse a grid of nothing before a run is opened."""
        if not self.grid:
            raise ConfigError(NO_AXIS)


@dataclass
class SweepResult(StudyResult):
    """What a sweep found.

    Attributes
    ----------
    cells : DataFrame
        One row per cell and metric: all axes, ``level``, ``metric``, ``value`` with its interval
        over images (``low``, ``high``), ``n_images``, ``seconds`` (of the whole cell), ``reason``
        where a metric is not defined. A cell that failed is one row with ``error``.
    marginals : DataFrame
        Means at each value of each varied axis: see :func:`.marginals.marginal_means`.
    contrasts : DataFrame
        Where the grid has the selector ``variance`` and others: by how much it is higher than each
        at the same settings, paired over images (and over ``n_random_sets`` random sets).
    """

    name: ClassVar[str] = "sweep"
    title: ClassVar[str] = "Sweeps"
    renamed: ClassVar[Mapping[str, str]] = {
        "random_draws": "n_random_sets",
        "n_draws": "n_random_sets",
    }

    cells: pd.DataFrame
    marginals: pd.DataFrame
    contrasts: pd.DataFrame

    @property
    def varied(self) -> list[str]:
        """Axes with more than one value."""
        several = {axis for axis, values in self.settings["grid"].items() if len(values) > 1}
        if len(self.categories) > 1:
            several.add("category")
        return [axis for axis in AXIS_TITLES if axis in several]

    @property
    def failures(self) -> pd.DataFrame:
        """One row per cell that failed: its axes and ``error``."""
        failed = (self.cells["error"] != "").to_numpy()
        axes = [axis for axis in AXIS_TITLES if axis in self.cells]
        return self.cells.loc[failed, [*axes, "error"]].reset_index(drop=True)

    @property
    def main_metric(self) -> Metric | None:
        """The first metric of the spec that was measured."""
        asked = [(str(level), str(name)) for level, name in self.settings["metrics"]]
        found = (m for m in asked if is_measured(self._of("cells", m), "value"))
        return next(found, None)

    def _of(self, name: str, metric: Metric) -> pd.DataFrame:
        return where(self.tables[name], level=metric[0], metric=metric[1])

    def findings(self) -> Iterator[Finding]:
        """Yield, by the main metric, the reference minus each control, then each axis' ends."""
        metric = self.main_metric
        if metric is None:
            return
        for control in dict.fromkeys(self.contrasts["control"]):
            own = where(self._of("contrasts", metric), control=control)
            own = rows(own, np.isfinite(numbers(own, "difference")))
            if own.empty:
                continue
            units, above = unit_means(own, "difference"), numbers(own, "difference_low") > 0
            below = numbers(own, "difference_high") < 0
            yield Finding(
                selector_name(self.settings["reference"]),
                metric,
                f"Mean over {len(own)} settings (over images, {above.sum()} of them above zero "
                f"and {below.sum()} below)",
                difference=mean_over_categories(units, self.confidence),
                control=selector_name(control),
                n=len(units),
                over=_units(len(units)),
                confidence=self.confidence,
            )
        for axis in self.varied:
            own = records(self._of("marginals", metric), axis=axis)
            own = [row for row in own if np.isfinite(row["value"])]
            if len(own) < 2:
                continue
            low, *_, high = sorted(own, key=lambda row: row["value"])
            yield Finding(
                f"{axis} {own[-1]['at']}",
                metric,
                f"Mean over all other axes, from {low['value']:.3f} ({axis} {low['at']}) to "
                f"{high['value']:.3f} ({axis} {high['at']})",
                difference=estimate(own[-1], "difference"),
                control=f"{axis} {own[0]['at']}",
                n=int(own[-1]["n_units"]),
                over=_units(own[-1]["n_units"]),
                value=estimate(own[-1]),
                confidence=self.confidence,
            )

    def summary(self) -> str:
        """Say how many cells there are, what each axis does, and what may not be concluded."""
        failed = self.failures["error"].tolist()
        grid = ", ".join(f"{len(v)} of {a}" for a, v in self.settings["grid"].items())
        said = [
            f"{self.settings['n_cells']} cells ({grid}; {', '.join(self.categories)}), "
            f"{len(failed) or 'none'} of which failed."
        ]
        if failed:
            said.append(f"First reason: {failed[0]}.")
        metric = self.main_metric
        if metric is None:
            return " ".join([*said, "No metric was measured."])
        values = numbers(self._of("cells", metric), "value")
        said.append(
            f"{metric_title(*metric)} lies between {np.nanmin(values):.3f} and "
            f"{np.nanmax(values):.3f}. All numbers are of the same test images: a cell that is "
            "picked because it is the highest looks better than it is (winner's curse); confirm a "
            "choice on other images."
        )
        if self.settings["reference"] is None:
            said.append("The grid holds no controls (selector=variance,random,...).")
        return " ".join([*said, super().summary()]).strip()

    def headline(self) -> pd.DataFrame:
        """Mean at each value of each axis that varies, with the difference to the first value."""
        metric = self.main_metric
        if metric is None:
            return pd.DataFrame({"failed cell": self.failures.head(_ROWS)["error"]})
        shown = [
            {
                "axis": row["axis"],
                "value": row["at"],
                f"mean {metric_title(*metric)}": estimate(row).text(),
                "minus the first value": "–"
                if row["at"] == row["reference"]
                else estimate(row, "difference").text(signed=True),
                "cells": row["n_cells"],
                "units": row["n_units"],
            }
            for row in self._of("marginals", metric).to_dict("records")
            if row["axis"] not in ("category", "seed")
        ]
        return pd.DataFrame(shown).head(2 * _ROWS)

    def figures(self) -> Figures:
        """Lines, a heat table, the controls, and all cells; those that the grid allows."""
        from lakeviz.studies.sweep import figures as draw

        metric, varied = self.main_metric, self.varied
        if metric is None or not varied:
            return []
        shown = {"level": metric[0], "metric": metric[1]}
        x = next((axis for axis in _ALONG if axis in varied), varied[0])
        series = next((axis for axis in _LINES if axis in varied and axis != x), None)
        rest = [a for a in varied if a not in (x, series, "seed", "category")]
        panel, confidence = rest[0] if rest else None, self.confidence
        made = [
            draw.sweep_lines_figure(
                self.cells, **shown, x=x, series=series, panel=panel, confidence=confidence
            )
        ]
        if len(varied) > 1:
            y = panel or next(axis for axis in varied if axis != x)
            made.append(draw.sweep_heat_figure(self.cells, **shown, x=x, y=y))
        if is_measured(self.contrasts, "difference"):
            made.append(
                draw.sweep_contrasts_figure(
                    self.contrasts,
                    **shown,
                    reference=self.settings["reference"],
                    varied=[axis for axis in varied if axis != "selector"],
                    confidence=confidence,
                )
            )
        if len(varied) > 1:
            made.append(draw.sweep_parallel_figure(self.cells, **shown, axes=varied))
        return made


Result = SweepResult


def _units(n: int) -> str:
    return f"unit{'s' * (n != 1)} of category and seed"
