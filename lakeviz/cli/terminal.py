"""What is said on the terminal: names of files, categories and models as they can be shown."""

from __future__ import annotations

import sys

import click

from lakeviz.errors import printable


def say(text: object = "", *, err: bool = False, colour: str | None = None) -> None:
    """Print text; control characters of names in it are shown escaped, line ends are kept."""
    shown = "\n".join(printable(line) for line in str(text).split("\n"))
    if (bars := sys.modules.get("tqdm")) is None:
        click.secho(shown, fg=colour, err=err)
        return
    with bars.tqdm.external_write_mode(file=sys.stderr if err else sys.stdout):  # above any bar
        click.secho(shown, fg=colour, err=err)


def announce(line: str) -> None:
    """Say how far a command is."""
    say(line, err=True)
