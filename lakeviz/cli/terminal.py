"""What is said on the terminal: names of files, categories and models as they can be shown."""

from __future__ import annotations

import click

from lakeviz.errors import printable


def say(text: object = "", *, err: bool = False, colour: str | None = None) -> None:
    """Print text; control characters of names in it are shown escaped, line ends are kept."""
    lines = (printable(line) for line in str(text).split("\n"))
    click.secho("\n".join(lines), fg=colour, err=err)
