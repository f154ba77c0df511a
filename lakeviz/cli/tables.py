"""``lakeviz models``, ``lakeviz datasets`` and ``lakeviz hooks``: what there is to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from lakeviz.cli.terminal import say

if TYPE_CHECKING:
    import pandas as pd


def show(frame: pd.DataFrame, *, index: bool = False) -> None:
    """Print a table in full width, left-aligned where it holds text."""
    text = frame.map(lambda value: "" if value is None else str(value))
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
