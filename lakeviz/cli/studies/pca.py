"""``lakeviz study pca``: high-variance neurons against truncated PCA, at every size."""

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
    "--size",
    "sizes",
    type=int,
    multiple=True,
    help="Dimensions kept, K; repeatable. Default: powers of two. The run's k and all channels "
    "are always among them.",
)
@click.option("--draws", default=10, show_default=True, help="Draws of each random selection.")
@click.option(
    "--selector",
    "selectors",
    multiple=True,
    help="Selectors to compare with top variance; repeatable. Default: PCA and all controls.",
)
def pca(run: Path, **given: Any) -> None:
    """Compare the top-variance neurons of RUN with truncated PCA and controls, size by size.

    Also: how much variance each keeps, how near the two subspaces are, and how diagonal the
    covariance is, since the two are the same only where it is.
    """
    from lakeviz.studies.pca import pca as compare
    from lakeviz.studies.pca.study import SELECTORS

    opened = open_run(run, given)
    results = [
        compare(
            data,
            sizes=given["sizes"] or None,
            n_draws=given["draws"],
            selectors=given["selectors"] or SELECTORS,
            bootstrap=make_bootstrap(given),
            seed=given["seed"],
        )
        for data in each_category(opened, given)
    ]
    conclude(opened, results)
