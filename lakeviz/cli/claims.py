"""``lakeviz claims`` and ``lakeviz readings``: studies that make their run first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lakeviz.cli.options import make_loading, resamples_option, run_first_options
from lakeviz.cli.run import asked_spec
from lakeviz.cli.settings import PATH, renamed, with_settings
from lakeviz.cli.study import conclude
from lakeviz.cli.terminal import announce, say
from lakeviz.errors import ConfigError

if TYPE_CHECKING:
    from lakeviz.metrics.bootstrap import Bootstrap
    from lakeviz.runs.spec import RunSpec
    from lakeviz.settings import Settings
    from lakeviz.studies.base.study import Study
    from lakeviz.studies.claims.plan import Plan
    from lakeviz.studies.claims.result import ClaimSettings


def _claim_settings() -> Any:
    from lakeviz.studies.claims.result import ClaimSettings

    return ClaimSettings


@click.command(cls=with_settings(_claim_settings))
@click.option(
    "--metric",
    default="image:auroc",
    help="LEVEL:NAME that detection is judged by, such as pixel:aupro.",
)
@click.option(
    "--write-plan",
    type=PATH,
    help="Write what would be tested, by which rules, and stop before a test image is read.",
)
@click.option(
    "--plan",
    "planned",
    type=PATH,
    help="Run under a plan that --write-plan wrote: the result says what differs from it.",
)
@renamed("--untrained-towers", "--untrained", "n_untrained")
@run_first_options
def claims(
    dataset: str | None,
    manifest: Path | None,
    out: Path,
    write_plan: Path | None,
    planned: Path | None,
    **given: Any,
) -> None:
    """Judge the claims of the paper on DATASET.

    Each is supported, contradicted, inconclusive or not measured. The rules are fixed in the code,
    with the smallest effect of interest; the intervals are corrected for looking at all of them.
    Makes the run first, or takes the one that is in --out, and adds the table to its report.
    """
    from lakeviz.studies.claims.plan import Plan
    from lakeviz.studies.claims.result import ClaimSettings
    from lakeviz.studies.claims.study import STUDY, check_host

    level, _, metric = given["metric"].partition(":")
    own = {name: given[name] for name, o in ClaimSettings.options().items() if o.command}
    settings = ClaimSettings(metric=(level, metric), seed=given["seed"], **own)
    check_host(settings)
    spec = asked_spec(dataset, manifest, given)
    if write_plan is not None:
        _write_plan(spec, settings, write_plan, out)
        return
    made = None if planned is None else Plan.read(planned).compare(_plan_of(spec, settings))
    more = {} if made is None else {"plan": made}
    _run_and_study(STUDY, settings, settings.bootstrap, spec, out, given, **more)


def _plan_of(spec: RunSpec, settings: ClaimSettings) -> Plan:
    from lakeviz.studies.claims.plan import plan_of

    return plan_of(spec, spec.load_model(), settings)


def _write_plan(spec: RunSpec, settings: ClaimSettings, path: Path, out: Path) -> None:
    from lakeviz.runs.manifest import MANIFEST

    if (out / MANIFEST).is_file():
        raise ConfigError(
            f"{out} holds a run already: a plan is written before test images are read; name "
            "another folder with --out"
        )
    plan = _plan_of(spec, settings)
    say(f"{plan.write(path)}: SHA-256 {plan.sha256}")


def _readings_settings() -> Any:
    from lakeviz.studies.readings.result import Settings

    return Settings


@click.command(cls=with_settings(_readings_settings))
@resamples_option
@run_first_options
def readings(dataset: str | None, manifest: Path | None, out: Path, **given: Any) -> None:
    """Compare top-variance and random neurons by every reading.

    The readings are those of the paper, the data are DATASET. Makes the run first, or takes the one
    that is in --out, captures a few depths of its tower once, and adds the table to its report.
    What is open, and in the grid: layers, distance (cosine, centred cosine, Euclidean), gallery or
    prototype, selection per layer or of all layers jointly.
    """
    from lakeviz.metrics.bootstrap import Bootstrap
    from lakeviz.studies.readings.study import STUDY

    own = {name: given[name] for name, o in STUDY.settings.options().items() if o.command}
    settings = STUDY.settings.of(None, own | {"seed": given["seed"]})
    bootstrap = Bootstrap(n_resamples=given["resamples"], seed=given["seed"])
    spec = asked_spec(dataset, manifest, given)
    _run_and_study(STUDY, settings, bootstrap, spec, out, given)


def _run_and_study(
    study: Study,
    settings: Settings,
    bootstrap: Bootstrap,
    spec: RunSpec,
    out: Path,
    given: dict[str, Any],
    **provenance: Any,
) -> None:
    """Make the run, or take the one that is there, and make the study on it."""
    from lakeviz.cli.tables import show
    from lakeviz.runs.run import execute
    from lakeviz.studies import StudyRun
    from lakeviz.studies.base.study import OnRun

    loading = make_loading(given)
    execute(spec, out, loading=loading, announce=announce)
    run = StudyRun.open(out, loading=loading)
    result = study.on_run(OnRun([run], bootstrap, announce=announce), settings)
    result.provenance |= provenance
    show(result.headline())
    say()
    conclude(run, result)
