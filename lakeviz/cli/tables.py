"""Tables on the terminal and for LaTeX: ``models``, ``datasets``, ``hooks`` and ``table``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lakeviz.cli.settings import PATH, Whole
from lakeviz.cli.terminal import say
from lakeviz.errors import ConfigError
from lakeviz.files import write_text
from lakeviz.wording import minus

if TYPE_CHECKING:
    import pandas as pd


def show(frame: pd.DataFrame, *, index: bool = False) -> None:
    """Print a table in full width, left-aligned where it holds text."""
    text = frame.map(lambda value: "" if value is None else minus(str(value)))
    header = [str(c) for c in text.columns]
    rows = text.to_numpy().tolist()
    if index:
        header = ["", *header]
        rows = [[str(name), *row] for name, row in zip(frame.index, rows, strict=True)]
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    say("  ".join(h.ljust(w) for h, w in zip(header, widths, strict=True)).rstrip())
    for row in rows:
        say("  ".join(v.ljust(w) for v, w in zip(row, widths, strict=True)).rstrip())


@click.command()
@click.argument("filter", required=False, default="")
def models(filter: str) -> None:
    """List the models that can be loaded.

    FILTER keeps names that contain it.
    """
    from lakeviz.models import models_table

    table = models_table()
    show(table.loc[[filter.lower() in name.lower() for name in table["name"]]])


@click.command()
@click.argument("name", required=False)
def datasets(name: str | None) -> None:
    """List the data set readers, or the options of reader NAME.

    The list has their folder layouts and licences.
    """
    import pandas as pd

    from lakeviz.data import datasets_table, get_layout

    if name is None:
        show(datasets_table())
        return
    layout = get_layout(name)
    for field in ("title", "layout", "license", "homepage", "citation"):
        if text := getattr(layout, field):
            click.echo(f"{field}: {text}")
    click.echo("\noptions (--reader OPTION=VALUE):")
    rows = [
        [o.name, o.type, "" if o.default in (None, ()) else o.default, o.help]
        for o in layout.options.values()
    ]
    show(pd.DataFrame(rows, columns=["option", "type", "default", "meaning"]))


@click.command()
@click.argument("model", default="tiny")
@click.option("--pretrained", help="Weights; random ones by default, for shapes need none.")
@click.option("--filter", "names", default="*", help="Name or glob.")
def hooks(model: str, pretrained: str | None, names: str) -> None:
    """Print the hook points of MODEL.

    Each with its name, module, shape, whether it can be edited, and its formula.
    """
    from lakeviz.models.load.files import require_files

    require_files(model, pretrained)
    from lakeviz.models import load_model

    if pretrained is None and model != "tiny" and not model.startswith("local-dir:"):
        pretrained = "random"
    tower = load_model(model, pretrained).tower
    table = tower.hook_points()
    show(table.set_index("name").loc[tower.resolve(names)].reset_index())


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
