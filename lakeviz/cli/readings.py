"""``lakeviz readings``: top variance against random neurons under every reading of the paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lakeviz.cli.options import make_loading, resamples_option, run_first_options
from lakeviz.cli.run import asked_spec
from lakeviz.cli.settings import with_settings
from lakeviz.cli.study import conclude
from lakeviz.cli.terminal import announce, say


def _settings() -> Any:
    from lakeviz.studies.readings.result import Settings

    return Settings


@click.command(cls=with_settings(_settings))
@resamples_option
@run_first_options
def readings(dataset: str | None, manifest: Path | None, out: Path, **given: Any) -> None:
    """Compare top-variance and random neurons by every reading.

    The readings are those of the paper, the data are DATASET. Makes the run first, or takes the one
    that is in --out, captures a few depths of its tower once, and adds the table to its report.
    What is open, and in the grid: layers, distance (cosine, centred cosine, Euclidean), gallery or
    prototype, selection per layer or of all layers jointly.
    """
    from lakeviz.cli.tables import show
    from lakeviz.metrics.bootstrap import Bootstrap
    from lakeviz.runs.run import execute
    from lakeviz.studies import StudyRun
    from lakeviz.studies.base.study import OnRun
    from lakeviz.studies.readings.study import STUDY

    own = {name: given[name] for name, o in STUDY.settings.options().items() if o.command}
    settings = STUDY.settings.of(None, own | {"seed": given["seed"]})
    loading = make_loading(given)
    execute(asked_spec(dataset, manifest, given), out, loading=loading, announce=announce)
    run = StudyRun.open(out, loading=loading)
    bootstrap = Bootstrap(n_resamples=given["resamples"], seed=given["seed"])
    result = STUDY.on_run(OnRun([run], bootstrap, announce=announce), settings)
    show(result.headline())
    say()
    conclude(run, result)
