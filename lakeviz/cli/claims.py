"""``lakeviz claims``: the paper's claims on any model and data, each with a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lakeviz.cli.options import make_loading, run_options
from lakeviz.cli.run import announce, asked_spec
from lakeviz.cli.settings import with_settings
from lakeviz.cli.study import conclude


def _settings() -> Any:
    from lakeviz.studies.claims.result import ClaimSettings

    return ClaimSettings


@click.command(cls=with_settings(_settings))
@click.option(
    "--metric",
    default="image:auroc",
    show_default=True,
    help="LEVEL:NAME that detection is judged by, such as pixel:aupro.",
)
@run_options
def claims(dataset: str | None, manifest: Path | None, out: Path, **given: Any) -> None:
    """Judge the ten claims of the paper on DATASET: supported, contradicted or inconclusive.

    The rules are fixed in the code, with the smallest effect of interest; the intervals are
    corrected for looking at all of them. Makes the run first, or takes the one that is in --out,
    and adds the table to its report.
    """
    from lakeviz.cli.tables import show
    from lakeviz.runs.run import execute
    from lakeviz.studies import StudyRun
    from lakeviz.studies.base.study import OnRun
    from lakeviz.studies.claims.result import ClaimSettings
    from lakeviz.studies.claims.study import STUDY, check_host

    level, _, metric = given["metric"].partition(":")
    own = {name: given[name] for name, o in ClaimSettings.options().items() if o.command}
    settings = ClaimSettings(metric=(level, metric), seed=given["seed"], **own)
    check_host(settings)
    loading = make_loading(given)
    execute(asked_spec(dataset, manifest, given), out, loading=loading, announce=announce)
    run = StudyRun.open(out, loading=loading)
    result = STUDY.on_run(OnRun([run], settings.bootstrap, announce=announce), settings)
    show(result.headline())
    click.echo()
    conclude(run, result)
