"""``lakeviz figure``: one figure of a result, as a file for a paper."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lakeviz.cli.settings import PATH, Whole
from lakeviz.cli.terminal import say
from lakeviz.errors import ConfigError

if TYPE_CHECKING:
    from lakeviz.plots.print.export import Width
    from lakeviz.runs.run_folder import RunFolder


def print_width(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> Width | None:
    """Read a name of a width, or a number of mm."""
    if value is None or value.isalpha():
        return value  # type: ignore[return-value]  # names are checked where the figure is run
    try:
        return float(value.removesuffix("mm"))
    except ValueError:
        raise click.BadParameter(
            f"{value!r} is neither column, page nor a number of mm.", context, parameter
        ) from None


@click.command()
@click.argument("kind", required=False)
@click.argument("result", required=False, type=PATH)
@click.option("--out", type=PATH, help="File: .pdf, .svg, .png or .html.")
@click.option(
    "--width",
    callback=print_width,
    help="column, page or mm; column by default, page for wide figures.",
)
@click.option("--height", callback=print_width, help="In mm; what suits the figure by default.")
@click.option("--template", help="paper, lakeviz or lakeviz_dark; paper by default, HTML lakeviz.")
@click.option("--category", "categories", multiple=True, help="Only these; repeatable.")
@click.option("--level", type=click.Choice(["image", "pixel"]), help="Of curves and controls.")
@click.option("--metric", help="Of controls: auroc, aupro, ...")
@click.option("--image", help="Sample of a heat map, its layers or activations.")
@click.option("--point", help="Hook point of a matrix or of activations.")
@click.option(
    "--per-group", type=Whole(1, 100), help="Of a gallery's groups; 6 by default, 3 in a column."
)
@click.option("--number", type=Whole(1), help="Which figure of a study, from 1.")
@click.option("--title", help="Or a part of its title.")
@click.option("--root", help="Where the data lie now (heat maps and galleries read them).")
@click.option("--no-sidecar", is_flag=True, help="Write no JSON file for the figure.")
@click.option("--list", "listing", is_flag=True, help="List the figures there are (of RESULT).")
def figure(
    kind: str | None, result: Path | None, out: Path | None, listing: bool, **given: Any
) -> None:
    """Draw a figure of a run or of one of its studies.

    RESULT is a run's folder, one of its categories, or one of its studies. KIND is one of the
    figures of --list, or the name of a study. Beside the figure lies a JSON file with its title,
    caption and data, and with what made it.
    """
    from lakeviz.runs.run_folder import RunFolder

    if listing:
        folder = result or (Path(kind) if kind else None)
        list_figures(None if folder is None else RunFolder.open(folder))
        return
    if kind is None or result is None or out is None:
        raise ConfigError(
            "name a KIND, a RESULT and a file with --out; kinds: lakeviz figure --list"
        )
    from lakeviz.plots import save_figure
    from lakeviz.plots.print.export import suiting_width
    from lakeviz.report.figures import make_figure

    command = _command(kind, result, out, given)
    made = make_figure(kind, RunFolder.open(result, root=given["root"]), _wanted(given, out))
    path = save_figure(
        made.figure,
        out,
        suiting_width(made.figure) if given["width"] is None else given["width"],
        given["height"],
        template=given["template"],
        sidecar=not given["no_sidecar"],
        data=made.data,
        provenance=made.provenance,
        command=command,
    )
    say(path)


def list_figures(run: RunFolder | None) -> None:
    """Print the kinds of figures; of a result, those it has, with the titles of its studies."""
    from lakeviz.errors import LakevizError
    from lakeviz.report.figures import KINDS, kinds_of, titles

    for name, kind in (KINDS if run is None else kinds_of(run)).items():
        say(f"{name:12} {kind.words}{'; one category' if kind.one_category else ''}")
    if run is None:
        say("\nand every study of a run, by its name: lakeviz figure --list RUN")
        return
    for study in run.studies:
        say(f"\n{study}")
        try:
            for number, title in enumerate(titles(study, run), start=1):
                say(f"  --number {number}  {title}")
        except LakevizError as error:
            say(f"  cannot be drawn: {error}")


def _wanted(given: dict[str, Any], out: Path) -> Any:
    from lakeviz.lake.figures import Wanted

    width = given["width"]
    names = ("categories", "level", "metric", "image", "point", "number", "title", "per_group")
    narrow = width in (None, "column") or (isinstance(width, float) and width < 120)
    hover = out.suffix.lower() == ".html"
    return Wanted(**{name: given[name] for name in names}, narrow=narrow, hover=hover)


def _command(kind: str, result: Path, out: Path, given: dict[str, Any]) -> str:
    """The command line, for the sidecar."""
    words = ["lakeviz", "figure", kind, str(result), "--out", str(out)]
    for category in given["categories"]:
        words += ["--category", category]
    for name, value in given.items():
        if name in ("categories", "no_sidecar") or value is None:
            continue
        words += [
            f"--{name.replace('_', '-')}",
            f"{value:g}" if isinstance(value, float) else str(value),
        ]
    return shlex.join(words)
