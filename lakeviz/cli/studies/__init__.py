"""``lakeviz study NAME RUN``: the analyses, on the folder of a run."""

from __future__ import annotations

import click

from lakeviz.cli.studies.decompose import decompose
from lakeviz.cli.studies.neurons import neurons
from lakeviz.cli.studies.overlap import overlap
from lakeviz.cli.studies.sweep import sweep


@click.group()
def study() -> None:
    """Study a run."""


study.add_command(decompose)
study.add_command(neurons)
study.add_command(overlap)
study.add_command(sweep)
