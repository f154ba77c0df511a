"""``lakeviz study dossier``: everything known of single neurons."""

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


@click.command()
@study_options
@click.option("--k", type=int, help="Neurons selected per hook point; the run's by default.")
@click.option("--selector", default="variance", show_default=True, help="One that gives channels.")
@click.option(
    "--random", "n_random", type=int, help="Random neurons per hook point; as many by default."
)
@click.option("--top", default=9, show_default=True, help="Highest patches kept per neuron.")
@click.option("--partners", default=5, show_default=True, help="Correlated neurons listed.")
@click.option(
    "--network-neurons",
    default=3,
    show_default=True,
    help="Forward and weights knock-outs run the tower once per neuron: of so many selected and so "
    "many random ones per hook point. 0 for none.",
)
@click.option(
    "--network-images", default=64, show_default=True, help="Test images they are measured on."
)
@click.option(
    "--labels/--no-labels",
    default=None,
    help="Label neurons with words; by default where the model has text.",
)
@click.option(
    "--words",
    type=click.Path(path_type=Path),
    help="Word list, a word or phrase a line; a list of visual words by default.",
)
@click.option(
    "--template",
    "templates",
    multiple=True,
    help='Prompt with one "{}" for the word; repeatable.',
)
@click.option(
    "--coverage",
    default=0.25,
    show_default=True,
    help="Share of a patch that the mask must cover to make it a defect.",
)
@click.option("--crops/--no-crops", default=True, help="Keep small pictures of the patches.")
def dossier(run: Path, **given: Any) -> None:
    """Make dossiers of the selected neurons of RUN, and of as many random ones.

    Highest patches and patches over the range, normal against defective activations, knock-outs,
    shares of the distance, correlated neurons, and text labels where the model has text.
    """
    from lakeviz.studies.dossier import dossier as make
    from lakeviz.studies.dossier import read_words
    from lakeviz.studies.dossier.vocabulary import TEMPLATES

    words = None if given["words"] is None else read_words(given["words"])
    opened = open_run(run, given)
    results = [
        make(
            data,
            k=given["k"],
            selector=given["selector"],
            n_random=given["n_random"],
            n_top=given["top"],
            n_partners=given["partners"],
            network_neurons=given["network_neurons"],
            network_images=given["network_images"],
            labels=given["labels"],
            words=words,
            templates=given["templates"] or TEMPLATES,
            coverage=given["coverage"],
            crops=given["crops"],
            bootstrap=make_bootstrap(given),
            seed=given["seed"],
        )
        for data in each_category(opened, given)
    ]
    conclude(opened, results)
