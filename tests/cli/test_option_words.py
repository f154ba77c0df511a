"""Words of options: the same everywhere; those of the version before are taken, and said."""

from __future__ import annotations

import click
import pytest

from lakeviz.cli.app import lakeviz, main


def settings_of(command, words, monkeypatch):
    """What a command is given, without running it."""
    found: dict[str, object] = {}
    monkeypatch.setattr(lakeviz.commands[command], "callback", lambda **given: found.update(given))
    main([command, "mvtec", *words])
    return found


@pytest.mark.parametrize(
    ("command", "old", "new", "name"),
    [
        ("run", "--random-controls", "--random-sets", "random_controls"),
        ("claims", "--random-controls", "--run-random-sets", "random_controls"),
        ("claims", "--untrained-towers", "--untrained", "n_untrained"),
    ],
)
def test_old_words_of_options_are_taken_and_the_new_ones_said(
    command, old, new, name, capsys, monkeypatch
):
    assert settings_of(command, [old, "3"], monkeypatch)[name] == 3
    assert f"{old} is called {new} now" in capsys.readouterr().err
    assert settings_of(command, [new, "4"], monkeypatch)[name] == 4
    assert capsys.readouterr().err == ""
    assert settings_of(command, [old, "3", new, "4"], monkeypatch)[name] == 4
    main([command, "--help"])
    assert f"{old} " not in capsys.readouterr().out


def test_old_words_are_checked_as_the_new_ones(monkeypatch, capsys):
    with pytest.raises(SystemExit):
        settings_of("run", ["--random-controls", "many"], monkeypatch)
    assert "not a valid integer" in capsys.readouterr().err


def test_claims_and_readings_tell_their_random_sets_from_those_of_the_run(monkeypatch):
    words = ["--random-sets", "7", "--run-random-sets", "3", "--run-untrained", "1"]
    found = settings_of("claims", words, monkeypatch)
    assert (found["n_random_sets"], found["random_controls"], found["untrained"]) == (7, 3, 1)
    assert settings_of("readings", words, monkeypatch)["n_random_sets"] == 7


def test_every_study_runs_without_further_options():
    group = lakeviz.commands["study"]
    assert isinstance(group, click.Group)
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        asked = [p.name for p in command.params if p.required and isinstance(p, click.Option)]
        assert not asked, name
