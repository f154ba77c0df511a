"""``lakeviz study sweep``: a grid of settings around those of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lakeviz.cli.studies.common import conclude, make_bootstrap, open_run, study_options


@click.command()
@study_options
@click.option(
    "--grid",
    "grid",
    multiple=True,
    required=True,
    help="An axis and its values, such as k=10,20 or layer=3,5+6; repeatable. Axes: category, "
    "model, layer, shots, seed, k, normalisation, distance, neighbours, coreset, text_weight, "
    "image_score, selector.",
)
@click.option("--jobs", default=2, show_default=True, help="Tasks at a time; -1: all processors.")
@click.option(
    "--backend",
    default="loky",
    show_default=True,
    help="loky, threading, sequential, or a cluster that runs: dask, ray.",
)
@click.option("--address", help="Of the cluster, such as tcp://host:8786.")
@click.option(
    "--random-draws", default=5, show_default=True, help="Random sets of a random control."
)
def sweep(run: Path, **given: Any) -> None:
    """Evaluate the detector of RUN at every point of a grid of settings.

    What the grid does not name is as in RUN. The same command again goes on where it was stopped
    and tries again what failed.
    """
    from dataclasses import replace

    from lakeviz.studies.sweep import SweepSpec, read_grid
    from lakeviz.studies.sweep import sweep as evaluate

    opened = open_run(run, given)
    grid = read_grid(given["grid"])
    options = replace(opened.spec.options, map_size=opened.map_size)
    categories = tuple(opened.chosen(given["categories"]))
    base = replace(opened.spec, options=options, categories=categories)
    spec = SweepSpec(
        base, grid, bootstrap=make_bootstrap(given), random_draws=given["random_draws"]
    )
    if "model" not in grid:
        opened.model  # noqa: B018 - refuses other weights than the run's
    result = evaluate(
        spec,
        opened.folder,
        backend=given["backend"],
        n_jobs=given["jobs"],
        address=given["address"],
        loading=opened.loading,
    )
    conclude(opened, [result])
