"""The help of every command, as it was looked at: a change shows in the diff of the snapshot.

``LAKEVIZ_WRITE_SNAPSHOTS=1 pytest tests/cli/test_help.py`` writes it again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click
import pytest

from lakeviz.cli.app import lakeviz, main

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


@pytest.mark.parametrize("words", [[], ["study"]])
def test_lists_of_commands_fit_a_screen_with_whole_descriptions(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with suppress(SystemExit):
        main([*words, "--help"])
    _, *lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 24
    assert not [line for line in lines if line.endswith("...") or len(line) > 80]


@pytest.mark.parametrize("words", [[], ["study"], ["sae"]])
def test_a_group_alone_prints_its_help(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out.startswith("Usage: lakeviz") and "\nCommands:\n" in said.out
    assert said.err == ""
