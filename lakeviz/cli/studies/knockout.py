"""``lakeviz study knockout``: neurons taken out, by variance and at random."""

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
from lakeviz.errors import ConfigError

# As lakeviz.studies.knockout has them; named here too, so that --help need not import it.
_KINDS = ("score", "forward", "weights")
_TOKENS = ("all", "patch", "cls")
_REFERENCES = ("zero", "mean", "resample")


@click.command()
@study_options
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(_KINDS),
    multiple=True,
    default=("score",),
    show_default=True,
    help="score: drop neurons from memory and query alone. forward: replace their activations and "
    "run the rest of the network. weights: remove the weights that write them. Repeatable.",
)
@click.option(
    "--mode",
    "modes",
    type=click.Choice(("remove", "keep")),
    multiple=True,
    default=("remove",),
    show_default=True,
    help="Take the top neurons out, or all but them; repeatable.",
)
@click.option(
    "--size",
    "sizes",
    type=int,
    multiple=True,
    help="Neurons per hook point; repeatable. Default: from 1 to all, the run's k among them.",
)
@click.option("--draws", default=20, show_default=True, help="Draws of each random control.")
@click.option(
    "--control",
    "controls",
    multiple=True,
    default=("random", "bottom_variance", "variance_matched"),
    show_default=True,
    help="Selector of other neurons of the same size; repeatable.",
)
@click.option(
    "--base",
    type=click.Choice(("all", "selected")),
    default="all",
    show_default=True,
    help="The detector reads all channels, or those it selected.",
)
@click.option("--tokens", type=click.Choice(_TOKENS), help="Of the forward kind; all by default.")
@click.option(
    "--reference", type=click.Choice(_REFERENCES), help="Of the forward kind; mean by default."
)
@click.option("--point", help="Hook point of the forward kind; the detector's first by default.")
@click.option("--part", "parts", multiple=True, help="Part of the detector; repeatable. All.")
@click.option(
    "--single/--no-single", default=True, show_default=True, help="Single neurons as well."
)
def knockout(run: Path, **given: Any) -> None:
    """Knock out the neurons of highest variance of RUN's detector, beside sets of the same size.

    Single neurons are knocked out too, and their importance is compared with their variance.
    """
    from lakeviz.studies.knockout import knockout as knock_out

    choices = {n: given[n] for n in ("tokens", "reference", "point") if given[n] is not None}
    if choices and "forward" not in given["kinds"]:
        raise ConfigError(f"--{next(iter(choices))} is a choice of --kind forward")
    kinds, modes = dict.fromkeys(given["kinds"]), dict.fromkeys(given["modes"])
    opened = open_run(run, given)
    results = []
    for data in each_category(opened, given):
        for kind in kinds:
            for number, mode in enumerate(modes):
                made = knock_out(
                    data,
                    kind,
                    sizes=given["sizes"] or None,
                    mode=mode,
                    controls=given["controls"],
                    n_draws=given["draws"],
                    base=given["base"],
                    parts=given["parts"] or None,
                    bootstrap=make_bootstrap(given),
                    # Single neurons are the same whatever the mode of the curves.
                    single=given["single"] and number == 0,
                    seed=given["seed"],
                    **(choices if kind == "forward" else {}),
                )
                results.append(made)
    conclude(opened, results)
