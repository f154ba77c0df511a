"""``lakeviz study decompose``: which parts of the tower push images towards "anomalous"."""

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
@click.option(
    "--direction",
    type=click.Choice(["text", "class-means"]),
    default="text",
    show_default=True,
    help="Anomalous minus normal: of the prompts, or of the embeddings of half the test images "
    "(the other half is measured).",
)
@click.option(
    "--size",
    "sizes",
    type=int,
    multiple=True,
    help="Size of the sets of neurons that are mean-ablated; repeatable. Default: 1, 10, 100.",
)
@click.option("--top", default=50, show_default=True, help="Neurons listed.")
@click.option("--draws", default=20, show_default=True, help="Random directions and sets.")
def decompose(run: Path, **given: Any) -> None:
    """Decompose the image embeddings of RUN's tower into heads, source patches and neurons.

    Every part's contribution along the anomaly direction, between normal and anomalous test images,
    beside random directions and shuffled labels; and mean-ablation of its direct effect.
    """
    from lakeviz.studies.decompose import decompose as decompose_one
    from lakeviz.studies.decompose.study import SIZES

    opened = open_run(run, given)
    results = [
        decompose_one(
            data,
            given["direction"],
            sizes=given["sizes"] or SIZES,
            top=given["top"],
            n_draws=given["draws"],
            bootstrap=make_bootstrap(given),
            seed=given["seed"],
            loading=opened.loading,
        )
        for data in each_category(opened, given)
    ]
    conclude(opened, results)
