"""The help of every command, as it was looked at: a change shows in the diff of the snapshot.

``LAKEVIZ_WRITE_SNAPSHOTS=1 pytest tests/cli/test_help.py`` writes it anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from lakeviz.cli.app import lakeviz

SNAPSHOT = Path(__file__).parent / "help.txt"


def commands(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"### {context.command_path}\n{command.get_help(context)}\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from commands(
                found, click.Context(found, info_name=name, parent=context, max_content_width=100)
            )


def test_help_of_every_command():
    given = lakeviz.context_settings | {"terminal_width": 100}
    root = click.Context(lakeviz, info_name="lakeviz", **given)
    said = "\n".join(commands(lakeviz, root))
    if os.environ.get("LAKEVIZ_WRITE_SNAPSHOTS"):
        SNAPSHOT.write_text(said)
    assert said == SNAPSHOT.read_text()
    assert "### lakeviz study knockout" in said
