"""``lakeviz study hosts``: LAKE's neurons plugged into other detectors."""

from __future__ import annotations

import json
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

# As lakeviz.studies.hosts.detectors has them; named here too, so that --help need not import it.
_HOSTS = ("patch_nn", "lof", "pca_residual", "patchcore", "padim", "winclip", "zero_shot")


@click.command()
@study_options
@click.option(
    "--host",
    "hosts",
    type=click.Choice(_HOSTS),
    multiple=True,
    required=True,
    help="patch_nn, lof and pca_residual are scikit-learn's; patchcore, padim and winclip are "
    "anomalib's; zero_shot is CLIP with the prompt ensemble. Repeatable.",
)
@click.option(
    "--mode",
    "modes",
    type=click.Choice(("restrict", "add")),
    multiple=True,
    help="The host sees the selected channels alone, or LAKE's score is added to its own; "
    "repeatable. Both by default; add alone for winclip and zero_shot.",
)
@click.option(
    "--selection",
    "selections",
    multiple=True,
    help="Selector in question, then its controls; repeatable. Default: variance, random, "
    "bottom_variance, variance_matched, pca.",
)
@click.option("--k", type=int, help="Neurons per hook point; the run's k by default.")
@click.option("--draws", default=5, show_default=True, help="Draws of each random selection.")
@click.option("--weight", default=0.5, show_default=True, help="Of LAKE's score, where added.")
@click.option("--repeats", default=5, show_default=True, help="Of the timings.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="HOST.NAME=VALUE",
    help="Setting of a host, such as lof.neighbours=10; repeatable.",
)
def hosts(run: Path, **given: Any) -> None:
    """Plug the neurons of RUN's detector into other detectors, beside selections of the same size.

    Each host alone, with the neurons, and with the controls: metrics, memory, time per image.
    """
    from lakeviz.studies.hosts import compare_host
    from lakeviz.studies.hosts.detectors import get_host
    from lakeviz.studies.hosts.study import SELECTIONS

    settings = _settings(given["settings"], given["hosts"])
    # Made before anything is captured, so that a missing library is told at once.
    made = [get_host(name, **settings.get(name, {})) for name in dict.fromkeys(given["hosts"])]
    opened = open_run(run, given)
    results = [
        compare_host(
            host,
            data,
            selections=given["selections"] or SELECTIONS,
            k=given["k"],
            modes=given["modes"] or None,
            n_draws=given["draws"],
            weight=given["weight"],
            bootstrap=make_bootstrap(given),
            repeats=given["repeats"],
            seed=given["seed"],
        )
        for data in each_category(opened, given)
        for host in made
    ]
    conclude(opened, results)


def _settings(given: tuple[str, ...], hosts: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        host, dot, setting = name.partition(".")
        if not (equals and dot and setting):
            raise ConfigError(f"--set takes HOST.NAME=VALUE, not {text!r}")
        if host not in hosts:
            raise ConfigError(f"--set {text} is of a host that is not among {', '.join(hosts)}")
        try:
            found.setdefault(host, {})[setting] = json.loads(value)
        except ValueError:
            found.setdefault(host, {})[setting] = value
    return found
