"""``lakeviz study contamination``: defective images among the normal ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lakeviz.cli.studies.common import conclude, make_bootstrap, open_run, study_options

if TYPE_CHECKING:
    from lakeviz.studies.base.captured import StudyData
    from lakeviz.studies.base.study_run import StudyRun


@click.command()
@study_options
@click.option("--shots", default=8, show_default=True, help="Images fitted on.")
@click.option(
    "--fraction",
    "fractions",
    type=float,
    multiple=True,
    help="Share of them that is defective, 0 to 0.5; repeatable. Default: steps of an eighth.",
)
@click.option("--draws", default=10, show_default=True, help="Draws of images and contaminants.")
@click.option(
    "--pool", default=32, show_default=True, help="Normal images that the draws are taken from."
)
@click.option(
    "--selector",
    "selectors",
    multiple=True,
    default=("variance", "mad", "trimmed_variance"),
    show_default=True,
    help="Repeatable.",
)
@click.option(
    "--control",
    "controls",
    multiple=True,
    default=("random", "pca", "all"),
    show_default=True,
    help="Selector to compare with; repeatable.",
)
@click.option(
    "--what",
    multiple=True,
    default=("both", "swapped"),
    show_default=True,
    help="What is contaminated: both, selection, memory; or a control: swapped, fewer. Repeatable.",
)
def contamination(run: Path, **given: Any) -> None:
    """Replace normal images by defective ones, with the settings of RUN, and measure the harm.

    The defective images are test images that are set aside and never tested on.
    """
    from lakeviz.studies.contamination import contamination as contaminate
    from lakeviz.studies.contamination.study import FRACTIONS

    opened = open_run(run, given)
    results = [
        contaminate(
            data,
            shots=given["shots"],
            fractions=given["fractions"] or FRACTIONS,
            n_draws=given["draws"],
            selectors=given["selectors"],
            controls=given["controls"],
            what=given["what"],
            bootstrap=make_bootstrap(given),
            seed=given["seed"],
        )
        for data in _pools(opened, given)
    ]
    conclude(opened, results)


def _pools(run: StudyRun, given: dict[str, Any]) -> Iterator[StudyData]:
    """Each category with as many normal images as the pool asks for, or as there are."""
    from lakeviz.cli.run import announce

    for category in run.chosen(given["categories"]):
        announce(category)
        available = len(run.dataset.category(category).split("train").normal())
        yield run.data(category, shots=min(given["pool"], available))
