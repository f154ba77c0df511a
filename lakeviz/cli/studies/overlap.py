"""``lakeviz study overlap``: what selected neurons have in common."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lakeviz.cli.studies.common import conclude, open_run, several_runs_options
from lakeviz.errors import ConfigError

if TYPE_CHECKING:
    from lakeviz.studies.base.study_run import StudyRun

# As lakeviz.studies.overlap has them; named here too, so that --help need not import it.
_ACROSS = ("category", "dataset", "layer", "shots", "seed")


@click.command()
@several_runs_options
@click.option("--k", type=int, help="Neurons per hook point; the first run's by default.")
@click.option(
    "--across",
    type=click.Choice(_ACROSS),
    default="category",
    show_default=True,
    help="What differs between the two of a pair.",
)
@click.option(
    "--layer", "layers", multiple=True, help="Block, hook point or glob; repeatable. Default: own."
)
@click.option("--shots", multiple=True, help='Normal images, or "all"; repeatable. Default: own.')
@click.option("--seeds", type=int, help="Draw the normal images with seeds 0 to N - 1 instead.")
@click.option(
    "--pool", default=64, show_default=True, help="Normal images captured, to redraw from."
)
@click.option("--null-draws", default=200, show_default=True, help="Draws of matched sets.")
@click.option("--rbo-p", default=0.9, show_default=True, help="Persistence of rank-biased overlap.")
def overlap(runs: tuple[Path, ...], **given: Any) -> None:
    """Overlap of the neurons selected for different categories, data sets, layers, shots or seeds.

    Several runs of one model may be named, such as of several data sets; the result is saved with
    the first. Pairs are read against random sets of the same size, variance-matched sets, the
    other categories' common ranking, and the overlap of a category with itself.
    """
    from lakeviz.cli.run import announce
    from lakeviz.studies.overlap import overlap as compare
    from lakeviz.studies.overlap import run_items

    if len(runs) > 1 and given["root"] is not None:
        raise ConfigError("--root moves the data of one run; name it with one run only")
    opened = [open_run(run, given) for run in runs]
    _check_models(opened)
    first = opened[0]
    k = given["k"] if given["k"] is not None else first.spec.options.k
    items = []
    for run, name in zip(opened, _names(opened), strict=True):
        chosen = _chosen(run, opened, given["categories"])
        if not chosen:
            continue
        items += run_items(
            run,
            k,
            categories=chosen,
            shots=[_shots(n) for n in given["shots"]],
            seeds=range(given["seeds"]) if given["seeds"] is not None else (),
            points=given["layers"] or None,
            pool=given["pool"],
            name=name,
            announce=announce,
        )
    result = compare(
        items,
        k,
        across=given["across"],
        n_null=given["null_draws"],
        n_resamples=given["resamples"],
        rbo_p=given["rbo_p"],
        seed=given["seed"],
        provenance={"model": first.manifest["model"]},
    )
    conclude(first, [result])


def _check_models(runs: list[StudyRun]) -> None:
    """Refuse runs of different weights: their channels are not the same neurons."""
    first, *others = runs
    described = first.manifest["model"]
    for run in others:
        own = run.manifest["model"]
        if own["weights_hash"] != described["weights_hash"]:
            raise ConfigError(
                f"{first.folder} is a run of {described['name']} "
                f"({described['weights_hash'][:12]}) and {run.folder} one of {own['name']} "
                f"({own['weights_hash'][:12]}): neurons can be compared within one model only"
            )


def _chosen(run: StudyRun, runs: list[StudyRun], named: Sequence[str]) -> list[str]:
    """Categories of a run that were named; all where none was."""
    if len(runs) == 1 or not named:
        return run.chosen(named)
    for category in named:
        if not any(category in r.categories for r in runs):
            raise ConfigError(f"none of the {len(runs)} runs has a category {category!r}")
    return [c for c in run.categories if c in named]


def _names(runs: list[StudyRun]) -> list[str]:
    """Name of each run's data set; with its folder where two have the same."""
    names = [run.spec.dataset for run in runs]
    return [
        name if names.count(name) == 1 else f"{name} ({run.folder.name})"
        for name, run in zip(names, runs)
    ]


def _shots(text: str) -> int | str:
    if text == "all":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise ConfigError(f'--shots must be a positive number or "all", not {text!r}')
    return int(text)
