"""Every ``lakeviz`` command on a page has a sub-command and options that exist; none is run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from lakeviz.cli.app import lakeviz
from lakeviz.studies import study_names

pytestmark = pytest.mark.docs

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Every fence is matched, so that the end of one is not taken for the start of another.
BLOCK = re.compile(r"^```(?P<kind>\S*)[^\n]*\n(?P<lines>.*?)^```$", re.M | re.S)
SHELL = ("bash", "console", "sh", "text", "")
COMMAND = re.compile(r"^(?:\$ )?(?:uv run )?lakeviz (.*)$")


def commands(text: str) -> Iterator[tuple[int, str]]:
    """Line and arguments of each command in the shell blocks of a page."""
    for block in BLOCK.finditer(text):
        if block["kind"] not in SHELL:
            continue
        line = text[: block.start("lines")].count("\n") + 1
        # A continued line is one command; its number is that of its first line.
        joined = re.sub(r"\\\n", lambda _: "\0", block["lines"])
        for command in joined.split("\n"):
            for part in command.split("&&"):
                if found := COMMAND.match(part.replace("\0", " ").strip()):
                    yield line, found[1]
            line += 1 + command.count("\0")


def problem(arguments: str) -> str | None:
    """What the command tree does not know of these arguments."""
    command: click.Command = lakeviz
    words = shlex.split(arguments, comments=True)
    while words:
        word = words.pop(0)
        if word.startswith("-") and word != "-":
            name, _, given = word.partition("=")
            context = click.Context(command, help_option_names=["-h", "--help"])
            known = {
                o: p for p in command.get_params(context) for o in (*p.opts, *p.secondary_opts)
            }
            if name not in known:
                return f"{command.name} has no option {name}"
            option = known[name]
            if isinstance(option, click.Option) and not (option.is_flag or option.count or given):
                if not words:
                    return f"{name} lacks its value"
                value = words.pop(0)
                kind = option.type
                if isinstance(kind, click.Choice) and value not in kind.choices:
                    return f"{name} cannot be {value!r}"
        # Capitals stand for a name that the reader fills in.
        elif isinstance(command, click.Group) and not word.isupper():
            found = command.get_command(click.Context(command), word)
            if found is None:
                return f"{command.name} has no sub-command {word!r}"
            command = found
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_parse(page):
    text = page.read_text(encoding="utf-8")
    wrong = [f"{page.name}:{line}: {said}" for line, a in commands(text) if (said := problem(a))]
    assert not wrong, "\n".join(wrong)


def test_commands_of_the_readme_start_with_what_a_fresh_shell_has():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = [b["lines"] for b in BLOCK.finditer(text) if b["kind"] in SHELL]
    lines = [line for block in blocks for line in block.splitlines()]
    assert not [line for line in lines if re.match(r"(lakeviz|pytest|python|jupyter)\b", line)]


def test_the_readme_lists_the_studies_there_are():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (listed,) = re.findall(r"study knockout runs/mvtec +# also: ((?:[^\n]*\n +#)*[^\n]*)", text)
    assert {"knockout", *re.findall(r"\w+", listed)} == set(study_names(on_runs=True))


def test_finds_commands():
    """The pages have dozens; a page whose blocks are no longer found would pass unseen."""
    found = [a for page in PAGES for _, a in commands(page.read_text(encoding="utf-8"))]
    assert len(found) > 40
    assert any(a.startswith("study knockout") for a in found)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("run mvtec --shot 4", "run has no option --shot"),
        ("study knockuot RUN", "study has no sub-command 'knockuot'"),
        ("study knockout RUN --kind", "--kind lacks its value"),
        ("study knockout RUN --kind other", "--kind cannot be 'other'"),
        ("study knockout RUN --kind score --size 20  # why", None),
    ],
)
def test_unknown_names_are_found(arguments, said):
    assert problem(arguments) == said


def test_continued_lines_are_one_command():
    page = "```bash\nls\nlakeviz run mvtec \\\n    --shots 4\nls && uv run lakeviz demo\n```\n"
    assert [(n, a.split()) for n, a in commands(page)] == [
        (3, ["run", "mvtec", "--shots", "4"]),
        (5, ["demo"]),
    ]


@pytest.mark.parametrize("name", sorted(lakeviz.commands))
def test_every_command_is_documented(name):
    pages = [a.split()[0] for p in PAGES for _, a in commands(p.read_text(encoding="utf-8"))]
    text = "".join(p.read_text(encoding="utf-8") for p in PAGES)
    assert name in pages or f"`lakeviz {name}" in text


@pytest.mark.parametrize("name", study_names(on_runs=True))
def test_every_study_has_its_command_on_a_page(name):
    assert any(
        a.startswith(f"study {name}")
        for page in PAGES
        for _, a in commands(page.read_text(encoding="utf-8"))
    )
