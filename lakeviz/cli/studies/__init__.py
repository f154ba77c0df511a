"""``lakeviz study NAME RUN``: the analyses, on the folder of a run."""

from __future__ import annotations

import click

from lakeviz.cli.studies.decompose import decompose
from lakeviz.cli.studies.neurons import neurons


@click.group()
def study() -> None:
    """Study a run."""


study.add_command(decompose)
study.add_command(neurons)
