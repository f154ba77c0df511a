"""``lakeviz claims``: the paper's claims on any model and data, each with a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lakeviz.cli.options import make_loading, run_options
from lakeviz.cli.run import announce, asked_spec
from lakeviz.cli.studies.common import conclude
from lakeviz.errors import ConfigError

if TYPE_CHECKING:
    from lakeviz.studies import StudyRun
    from lakeviz.studies.claims import Case, ClaimSettings

_POOL = 24  # normal images that contaminated fits are drawn from, where there are as many


@click.command()
@run_options
@click.option(
    "--metric",
    default="image:auroc",
    show_default=True,
    help="LEVEL:NAME that detection is judged by, such as pixel:aupro.",
)
@click.option("--depth", type=int, help="Every N-th block apart as well; 1: each.")
@click.option("--draws", default=20, show_default=True, help="Draws of each random control.")
@click.option("--fits", default=10, show_default=True, help="Fits with a defective image.")
@click.option("--host", help="Detector to plug into; zero_shot, or patch_nn without text.")
@click.option("--resamples", default=4000, show_default=True, help="Of the bootstrap.")
def claims(dataset: str | None, manifest: Path | None, out: Path, **given: Any) -> None:
    """Judge the ten claims of the paper on DATASET: supported, contradicted or inconclusive.

    The rules are fixed in the code, with the smallest effect of interest; the intervals are
    corrected for looking at all of them. Makes the run first, or takes the one that is in --out,
    and adds the table to its report.
    """
    from lakeviz.cli.tables import show
    from lakeviz.runs.run import execute
    from lakeviz.studies import StudyRun
    from lakeviz.studies.claims import ClaimSettings, ClaimsResult, judge_claims
    from lakeviz.studies.claims.section import headline

    level, _, name = given["metric"].partition(":")
    settings = ClaimSettings(
        metric=(level, name),
        n_draws=given["draws"],
        fits=given["fits"],
        host=given["host"],
        resamples=given["resamples"],
        seed=given["seed"],
    )
    if given["depth"] is not None and given["depth"] < 1:
        raise ConfigError(f"--depth counts blocks from 1, not {given['depth']}")
    loading = make_loading(given)
    execute(asked_spec(dataset, manifest, given), out, loading=loading, announce=announce)
    run = StudyRun.open(out, loading=loading)
    results = [judge_claims(list(cases)) for cases in _cases(run, settings, given["depth"])]
    result = ClaimsResult.join(results)
    show(headline(result))
    click.echo()
    conclude(run, [result])


def _cases(run: StudyRun, settings: ClaimSettings, depth: int | None) -> Iterator[list[Case]]:
    """Every category at the run's own hook points, then at single blocks."""
    yield [_case(run, category, settings, None) for category in run.categories]
    if depth is None:
        return
    blocks = range(depth - 1, run.model.n_blocks, depth)
    if not blocks:
        raise ConfigError(f"--depth {depth} names no block: there are {run.model.n_blocks}")
    deep = [_case(run, category, settings, blocks) for category in run.categories]
    for number in range(len(blocks)):
        yield [case.at(case.data.points[number]) for case in deep]


def _case(run: StudyRun, category: str, settings: ClaimSettings, blocks: range | None) -> Case:
    from lakeviz.studies.claims import Case

    announce(category)
    points = None if blocks is None else list(blocks)
    available = len(run.dataset.category(category).split("train").normal())
    pool = run.data(category, shots=min(_POOL, available), points=points)
    return Case(run.data(category, points=points), settings, pool)
