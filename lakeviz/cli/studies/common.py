"""What all ``lakeviz study`` commands share: the run, the categories, and how a study ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lakeviz.cli.options import image_size, loading_options, make_loading, stack

if TYPE_CHECKING:
    from lakeviz.metrics import Bootstrap
    from lakeviz.studies.base.captured import StudyData
    from lakeviz.studies.base.result import StudyResult
    from lakeviz.studies.base.study_run import StudyRun

Command = Callable[..., Any]

_shared = stack(
    [
        click.option("--category", "categories", multiple=True, help="Only these; repeatable."),
        click.option("--root", type=click.Path(path_type=Path), help="Where the data lie now."),
        click.option("--device", help="Another device than the run's."),
        click.option(
            "--map-size",
            callback=image_size,
            default="128",
            show_default=True,
            help='Size of pixel maps and masks: N, HxW, or "image" for full size.',
        ),
        click.option("--seed", default=0, show_default=True, help="Of draws and intervals."),
        click.option("--resamples", default=1000, show_default=True, help="Of the bootstrap."),
        loading_options,
    ]
)


def study_options(command: Command) -> Command:
    """Add the argument RUN and the options that all studies share."""
    return click.argument("run", type=click.Path(path_type=Path))(_shared(command))


def several_runs_options(command: Command) -> Command:
    """Add the argument RUN..., for studies over several runs, and the options all studies share."""
    paths = click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
    return paths(_shared(command))


def open_run(run: Path, given: dict[str, Any]) -> StudyRun:
    """Open the run a command names."""
    from lakeviz.studies.base.study_run import StudyRun

    return StudyRun.open(
        run,
        root=given["root"],
        device=given["device"],
        map_size=given["map_size"],
        loading=make_loading(given),
    )


def make_bootstrap(given: dict[str, Any]) -> Bootstrap:
    """Settings of all intervals of the study."""
    from lakeviz.metrics import Bootstrap

    return Bootstrap(n_resamples=given["resamples"], seed=given["seed"])


def each_category(run: StudyRun, given: dict[str, Any], **settings: Any) -> Iterator[StudyData]:
    """Capture the chosen categories, one after the other, and say which is being worked on."""
    from lakeviz.cli.run import announce

    for category in run.chosen(given["categories"]):
        announce(category)
        yield run.data(category, **settings)


def conclude(run: StudyRun, results: Sequence[StudyResult]) -> None:
    """Join the categories, write the result and the report anew, and print what was found."""
    from lakeviz.report import write_run_report

    first = results[0]
    result = type(first).join(results)
    folder = run.save(result)
    report = write_run_report(run)
    click.echo(result.summary())
    for note in result.notes:
        click.echo(f"note: {note}")
    click.echo(f"\ntables: {folder}\nreport: {report}")
