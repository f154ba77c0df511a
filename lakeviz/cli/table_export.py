"""``lakeviz table``: the metrics of one or more runs as a table for LaTeX."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from lakeviz.cli.settings import PATH, Whole
from lakeviz.cli.terminal import say
from lakeviz.errors import ConfigError
from lakeviz.files import write_text


@click.command()
@click.argument("runs", nargs=-1, required=True, type=PATH, metavar="RUN...")
@click.option("--out", type=PATH, required=True, help="File, .tex.")
@click.option("--name", "names", multiple=True, help="Name of each run in the table; repeatable.")
@click.option("--metric", "metrics", multiple=True, help="LEVEL:METRIC, repeatable.")
@click.option("--category", "categories", multiple=True, help="Only these; repeatable.")
@click.option(
    "--by",
    type=click.Choice(["category", "run"]),
    help="A row per category, or per run with means over categories.",
)
@click.option(
    "--branch", "--part", "branch", default="lake", help="lake, visual, text, text_image."
)
@click.option("--digits", type=Whole(0, 12), default=3)
@click.option("--label", default="tab:metrics")
@click.option("--caption", help="In place of the one that says n and what the intervals are.")
def table(
    runs: tuple[Path, ...],
    out: Path,
    names: tuple[str, ...],
    metrics: tuple[str, ...],
    categories: tuple[str, ...],
    by: Literal["category", "run"] | None,
    branch: str,
    digits: int,
    label: str,
    caption: str | None,
) -> None:
    """Write the metrics of runs as a LaTeX table.

    It is of booktabs: value, interval, the best in bold.
    """
    from lakeviz.report.latex import DEFAULT_METRICS, metrics_table
    from lakeviz.runs.run_folder import RunFolder

    named = names or tuple(path.resolve().name for path in runs)
    if len(named) != len(runs) or len(set(named)) != len(named):
        raise ConfigError(
            f"{len(runs)} runs need {len(runs)} different names, one --name each; "
            f"these are {', '.join(named)}"
        )
    given = {
        name: RunFolder.open(path).table("metrics", categories)
        for name, path in zip(named, runs, strict=True)
    }
    text = metrics_table(
        given,
        [_metric(text) for text in metrics] or DEFAULT_METRICS,
        by=by or ("category" if len(runs) == 1 else "run"),
        branch=branch,
        digits=digits,
        label=label,
        caption=caption,
    )
    write_text(out, text)
    say(out)


def _metric(text: str) -> tuple[str, str]:
    level, colon, name = text.partition(":")
    if not colon:
        raise ConfigError(f"--metric {text!r} is not LEVEL:METRIC, such as pixel:aupro")
    return level, name
