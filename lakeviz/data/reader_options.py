"""Options of readers, told by their signatures and docstrings, and read from ``key=value``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from lakeviz.errors import ConfigError, nearest


@dataclass(frozen=True)
class ReaderOption:
    """An option of a reader."""

    name: str
    annotation: str  # its type, as in the code
    default: Any
    help: str

    @property
    def type(self) -> str:
        """The type in words."""
        words = {"Iterable": "names, by comma", "float": "number", "int": "whole number"}
        return next((w for kind, w in words.items() if kind in self.annotation), "text")

    def parse(self, text: str) -> Any:
        """Read a value of the command line."""
        if "Iterable" in self.annotation:
            return [name.strip() for name in text.split(",") if name.strip()]
        for kind in (float, int):
            if kind.__name__ in self.annotation:
                try:
                    return kind(text)
                except ValueError as error:
                    raise ConfigError(
                        f"{self.name} must be a {self.type}, got {text[:40]!r}"
                    ) from error
        return text


ON_MISSING_MASK = ReaderOption(
    "on_missing_mask",
    "str",
    "error",
    "What a defective image without a mask is: error, or none (it is read without).",
)


def options_of(made: Callable[..., Any]) -> dict[str, ReaderOption]:
    """Parameters with a default, by name, with the help of a docstring in numpy style."""
    described = _described(made.__doc__ or "")
    return {
        p.name: ReaderOption(p.name, str(p.annotation), p.default, described.get(p.name, ""))
        for p in inspect.signature(made).parameters.values()
        if p.default is not p.empty
    }


def check_options(layout: str, known: Iterable[str], given: Iterable[str]) -> None:
    """Refuse options that a reader does not have."""
    known = list(known)
    for name in given:
        if name not in known:
            raise ConfigError(
                f"{layout} has no option {name!r}{nearest(name, known)}; it has {', '.join(known)}"
            )


def parse_options(
    layout: str, known: Mapping[str, ReaderOption], given: Iterable[str]
) -> dict[str, Any]:
    """Read ``key=value`` texts as options of a reader."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise ConfigError(f"a reader's option is given as key=value, not {text!r}")
        check_options(layout, known, [name])
        if name in found:
            raise ConfigError(f"the reader's option {name} is given twice")
        found[name] = known[name].parse(value.strip())
    return found


def _described(docstring: str) -> dict[str, str]:
    """Text of each parameter of a docstring, as one line."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(docstring).partition("Parameters\n-")[2].splitlines():
        if line.startswith(" "):
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip().replace("``", "")
        elif line.strip():
            names = [name.strip() for name in line.partition(" : ")[0].split(",")]
    return found
