"""Odd values of every option of every command, as the command line would take them."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import click

from fuzz.mutate import NAMES
from lakeviz.cli.app import lakeviz, main
from lakeviz.cli.study import open_run
from lakeviz.errors import LakevizError

VALUES = (
    "inf", "-inf", "nan", "1e308", "-1e308", "1e999", "-1", "0", "1000000", "99999", "100000",
    "999999", str(10**30), "9" * 5000, "0x10", "1_000", "1.5", "-0.0", "\u0663", "100000x100000",
    "1x999999999", "0x0", "x", "meta", "cuda:99", "cuda", "xla", "fp8", "true", "all",
    "k=" + "9" * 5000,
    "layer=-1", "image:", ":", ",", "{}", "{0}", "[", *NAMES,
)  # fmt: skip


class ReachedError(LakevizError):
    """The work would begin here: the value was taken."""


def commands() -> list[tuple[list[str], click.Command]]:
    """Every command with the words that call it."""

    def walk(
        command: click.Command, context: click.Context, words: list[str]
    ) -> Iterator[tuple[list[str], click.Command]]:
        if not isinstance(command, click.Group):
            yield words, command
            return
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            inner = click.Context(found, info_name=name, parent=context)
            yield from walk(found, inner, [*words, name])

    return list(walk(lakeviz, click.Context(lakeviz, **lakeviz.context_settings), []))


def options(command: click.Command) -> list[str]:
    """Flags of the options that take a value."""
    # With the settings of the root: click keeps the help option that it makes.
    given = command.get_params(click.Context(command, **lakeviz.context_settings))
    return [
        p.opts[0] for p in given if isinstance(p, click.Option) and not p.is_flag and not p.count
    ]


def arguments(words: list[str], root: Path, run: Path, out: Path) -> list[str]:
    """What a command needs beside the option that is tried."""
    name = words[0]
    data = ["mvtec", "--root", str(root), "--out", str(out)]
    score = ["--maps", str(run), "--masks", str(run), "--out", str(out)]
    of = {
        "run": data,
        "claims": data,
        "readings": data,
        "study": [str(run)],
        "score": score,
        "figure": ["metrics", str(run), "--out", str(out / "a.html")],
        "table": [str(run), "--out", str(out / "a.tex")],
        "demo": ["--out", str(out)],
    }
    return [*words, *of.get(name, [])]


@contextlib.contextmanager
def no_work(model: Any) -> Iterator[None]:
    """Commands end where their work begins, after the settings were checked against a model."""

    def reached(spec: Any, *_: object, **__: object) -> None:
        from lakeviz.lake import Lake
        from lakeviz.models import load_model

        odd = spec.image_size or spec.device != "cpu" or spec.precision != "fp32"
        is_own = spec.model == "tiny" and spec.pretrained is None and not odd
        of = model if is_own else load_model(
            spec.model, spec.pretrained, device=spec.device, precision=spec.precision,
            image_size=spec.image_size,
        )  # fmt: skip
        Lake.from_options(of, spec.options)
        dataset = spec.read_data()
        for category in spec.categories or dataset.categories:
            spec.draw_normals(dataset, category)
        spec.control_specs()
        raise ReachedError("reached")

    def opened(run: Path, given: dict[str, Any]) -> None:
        spec = open_run(run, given).spec
        reached(spec)

    def stop(*_: object, **__: object) -> None:
        raise ReachedError("reached")

    with contextlib.ExitStack() as stack:
        for place, call in (  # the names by which the commands find them
            ("lakeviz.runs.run.execute", reached),
            ("lakeviz.cli.study.open_run", opened),
            ("lakeviz.data.synthetic.write_benchmark", lambda *_, **__: None),
            ("lakeviz.studies.score_maps.study.ScoreStudy.__call__", stop),
        ):
            stack.enter_context(patch(place, call))
        yield


def said_by(words: list[str]) -> tuple[int, str]:
    """Exit code and stderr of a command."""
    err, code = io.StringIO(), 0
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        try:
            main(words)
        except SystemExit as stop:
            code = int(stop.code or 0)
    return code, err.getvalue()


def check_command(words: list[str]) -> None:
    """Raise unless a command is done, or ends with code 2 and one line that says why."""
    code, said = said_by(words)
    errors = [line for line in said.splitlines() if line.startswith(("error:", "Traceback"))]
    if code == 0:
        return
    assert code == 2, said
    assert len(errors) == 1, said
    assert said.splitlines()[-1] == errors[0], said
    assert errors[0].isprintable(), said
    raise LakevizError(errors[0].removeprefix("error: "))


def odd_command(rng: random.Random, root: Path, run: Path, out: Path) -> list[str]:
    """A command with one option of an odd value."""
    words, command = rng.choice(commands())
    flags = options(command)
    if not flags:
        return [*words, rng.choice(VALUES)]
    flag, value = rng.choice(flags), rng.choice(VALUES)
    return [*arguments(words, root, run, out), *rng.choice(((flag, value), (f"{flag}={value}",)))]
