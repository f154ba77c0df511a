"""``lakeviz study neurons``: every selected neuron as a detector of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lakeviz.cli.studies.common import (
    conclude,
    each_category,
    make_bootstrap,
    open_run,
    study_options,
)


@click.command()
@study_options
@click.option("--k", type=int, help="Neurons selected per hook point; the run's by default.")
@click.option("--selector", default="variance", show_default=True, help="One that gives channels.")
@click.option(
    "--deviation",
    type=click.Choice(("zscore", "nearest")),
    default="zscore",
    show_default=True,
    help="|x - mean| / sd of the normal tokens, or |x - nearest normal value|.",
)
@click.option(
    "--random", "n_random", type=int, help="Random neurons per hook point; as many by default."
)
@click.option("--top", default=9, show_default=True, help="Patches kept per neuron.")
@click.option(
    "--coverage",
    default=0.25,
    show_default=True,
    help="Share of a patch that the mask must cover to make it a defect.",
)
@click.option("--crops/--no-crops", default=True, help="Keep small pictures of driving patches.")
def neurons(run: Path, **given: Any) -> None:
    """Measure how well each selected neuron of RUN tells defects, beside random neurons."""
    from lakeviz.studies.neurons import neurons as measure

    opened = open_run(run, given)
    results = [
        measure(
            data,
            k=given["k"],
            selector=given["selector"],
            deviation=given["deviation"],
            n_random=given["n_random"],
            n_top=given["top"],
            coverage=given["coverage"],
            crops=given["crops"],
            bootstrap=make_bootstrap(given),
            seed=given["seed"],
        )
        for data in each_category(opened, given)
    ]
    conclude(opened, results)
