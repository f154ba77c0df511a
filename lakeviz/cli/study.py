"""``lakeviz study NAME RUN``: every registered study as a command, made from its settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lakeviz.cli.ls import size_of
from lakeviz.cli.options import (
    image_size,
    loading_options,
    make_loading,
    resamples_option,
    run_folder_options,
)
from lakeviz.cli.settings import PATH, SEEDS, Whole, settings_options, stack
from lakeviz.cli.terminal import announce, say
from lakeviz.errors import nearest
from lakeviz.wording import minus

if TYPE_CHECKING:
    from lakeviz.studies.base.result import StudyResult
    from lakeviz.studies.base.study import LazyStudy, Study
    from lakeviz.studies.base.study_run import StudyRun

_shared = stack(
    run_folder_options,
    click.option(
        "--map-size",
        callback=image_size,
        default="128",
        help='Size of pixel maps and masks: N, HxW, or "image" for full size.',
    ),
    click.option(
        "--seed", type=Whole(0, SEEDS), default=0, help="Seed of random sets and resamples."
    ),
    resamples_option,
    loading_options,
)


class StudyGroup(click.Group):
    """The registered studies as sub-commands; each is made when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the studies."""
        from lakeviz.studies import study_names

        return study_names(on_runs=True)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Make the command of a study from its settings."""
        from lakeviz.studies import get_study

        known = self.list_commands(ctx)
        return study_command(get_study(cmd_name)) if cmd_name in known else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the study that is named first; of an unknown one say which is near."""
        known = self.list_commands(ctx)
        if args[0][:1] != "-" and args[0] not in known and not ctx.resilient_parsing:
            ctx.fail(f"No study {args[0]!r}{nearest(args[0], known)}.")
        return super().resolve_command(ctx, args)


@click.group(cls=StudyGroup)
def study() -> None:
    """Run a study on the folder of a run.

    A study takes model, data, normal images and settings from the manifest of RUN, writes its
    tables below RUN/studies and its section into RUN/report.html.
    """


def study_command(made: Study | LazyStudy) -> click.Command:
    """Make the command of a study: RUN, its own settings, and the options all studies share."""

    def run_study(**given: Any) -> None:
        from lakeviz.metrics.bootstrap import Bootstrap
        from lakeviz.runs.run_folder import require_run
        from lakeviz.studies.base.study import OnRun

        runs = given.pop("runs") if made.settings.several_runs else (given.pop("run"),)
        for run in runs:
            require_run(run)
        names = [name for name, o in made.settings.options().items() if o.command]
        settings = made.settings.of(None, {n: given[n] for n in names} | {"seed": given["seed"]})
        loaded = made.load()  # torch, once all that was asked for is known to be there
        bootstrap = Bootstrap(n_resamples=given["resamples"], seed=given["seed"])
        opened = [open_run(run, given) for run in runs]
        on = OnRun(opened, bootstrap, given["categories"], announce)
        conclude(opened[0], loaded.on_run(on, settings))

    command = _shared(settings_options(made.settings)(run_study))
    if made.settings.several_runs:
        command = click.argument("runs", nargs=-1, required=True, type=PATH)(command)
    else:
        command = click.argument("run", type=PATH)(command)
    return click.command(made.name, help=made.settings.__doc__)(command)


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


def conclude(run: StudyRun, result: StudyResult) -> None:
    """Write the result, rebuild the report, and print what was found."""
    from lakeviz.report.run_report import write_run_report

    folder = run.save(result)
    announce("report ...")
    report = write_run_report(run)
    say(minus(result.summary()))
    for note in result.notes:
        say(f"note: {note}")
    say(f"\ntables: {folder}\nreport: {report}")
    if run.cache.is_dir():
        said = f"{size_of(run.cache)}; other studies read them, and they may be deleted"
        say(f"tokens: {run.cache} ({said})")
