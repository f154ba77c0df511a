"""What every study returns: tidy tables, what made them, and findings that say no more."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NotRequired, Self, TypeAlias, TypedDict

import pandas as pd

import lakeviz.lake.selectors  # noqa: F401 - gives selectors the names that results show
from lakeviz.documents import of_file
from lakeviz.errors import ConfigError, StoreError
from lakeviz.files import (
    read_json,
    read_parquet,
    settle,
    write_json,
    write_parquet,
    written_together,
)
from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.notebook import NotebookView, table_html
from lakeviz.selector_names import todays_selectors
from lakeviz.wording import counted, joined

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from lakeviz.studies.base.findings import Finding

PROTOCOL = "lakeviz-study/2"
_FIRST = "lakeviz-study/1"
STUDIES, STUDY_FILE = "studies", "study.json"
_METADATA = b"lakeviz"


Figures: TypeAlias = "list[go.Figure]"
"""What :meth:`StudyResult.figures` returns; a result is read without plotly."""


class Provenance(TypedDict):
    """What made a study, as far as all studies have it."""

    bootstrap: NotRequired[dict[str, Any] | None]
    settings: NotRequired[dict[str, Any]]
    categories: NotRequired[dict[str, Any]]
    model: NotRequired[dict[str, Any]]
    versions: NotRequired[dict[str, str]]
    conventions: NotRequired[dict[str, Any]]


class Described(TypedDict):
    """What ``study.json`` says; results of earlier versions have no ``sha256``, of its tables."""

    study: str
    notes: list[str]
    provenance: Provenance
    sha256: NotRequired[dict[str, str]]


@dataclass
class StudyResult(NotebookView):
    """Base of all results. A subclass adds its tables as fields of type ``DataFrame``.

    Attributes
    ----------
    provenance : dict
        ``study``, ``settings``, ``model``, ``versions``, ``bootstrap``, ``conventions`` and, per
        category, the images it was fitted and tested on with their fingerprint.
    notes : list of str
        Visible absences: what could not be measured, and why.
    """

    name: ClassVar[str]
    """Name of the study, as on the command line."""
    title: ClassVar[str]
    """Heading in reports."""
    template: ClassVar[str] = "study.html"
    """Template of its section in a report."""
    renamed: ClassVar[Mapping[str, str]] = {}
    """Columns and settings of protocol 1 with another name now; ``TABLE.COLUMN`` of one table."""
    renamed_values: ClassVar[Mapping[str, Mapping[str, str]]] = {}
    """Values of protocol 1 with another name now, by column."""

    provenance: dict[str, Any] = field(repr=False)
    notes: list[str] = field(kw_only=True, default_factory=list)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__repr__" not in vars(cls):
            # Dataclasses leave one that is there: theirs would write every table.
            cls.__repr__ = StudyResult.__repr__

    def __repr__(self) -> str:
        tables = ", ".join(
            f"{name} ({counted(len(table), 'row')})" for name, table in self.tables.items()
        )
        of = f" of {joined(self.categories)}" if self.categories else ""
        return f"<{type(self).__name__}{of}: {tables}; summary() says what was found>"

    @classmethod
    def table_names(cls) -> tuple[str, ...]:
        """Names of the tables, the main one first."""
        own = [f.name for f in fields(cls) if f.name not in ("provenance", "notes")]
        return tuple(own)

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """All tables by name."""
        return {name: getattr(self, name) for name in self.table_names()}

    @property
    def table(self) -> pd.DataFrame:
        """The main table."""
        return getattr(self, self.table_names()[0])

    @property
    def categories(self) -> list[str]:
        """Categories it is about."""
        return list(self.provenance.get("categories", {}))

    @property
    def settings(self) -> dict[str, Any]:
        """Settings it was made with."""
        return self.provenance.get("settings", {})

    @property
    def confidence(self) -> float:
        """Confidence of its intervals."""
        return Bootstrap.from_plain(self.provenance.get("bootstrap")).confidence

    # --- what it says and shows ---

    def findings(self) -> Iterable[Finding]:
        """Yield the findings, the most important first; none by default."""
        return ()

    def summary(self) -> str:
        """Say the findings in words: effect, control, n, interval and verdict."""
        return " ".join(finding.sentence() for finding in self.findings())

    def opening(self) -> str:
        """One sentence to open its section with: its first finding, or the summary."""
        first = next(iter(self.findings()), None)
        return first.sentence() if first else self.summary()

    def baseline(self) -> str:
        """The detector that it measures, where that is not the run's; empty otherwise."""
        return ""

    def headline(self) -> pd.DataFrame:
        """Small table for people, at the head of its section: the findings by default."""
        return pd.DataFrame([finding.row() for finding in self.findings()])

    def figures(self) -> Figures:
        """Every figure of the result, the most important first: its findings by default.

        Raises
        ------
        LakevizError
            If there is nothing to draw.
        """
        from lakeviz.plots.forest import ForestRow, forest_figure

        found = list(self.findings())
        shown: dict[str, list[ForestRow]] = {}
        for one in found:
            name = f"{one.subject} − {one.control}" if one.control else one.subject
            row = ForestRow(name, one.difference, hover=html.escape(one.sentence()))
            shown.setdefault(one.quantity, []).append(row)
        over = "; ".join(dict.fromkeys(f"{one.where}, {one.interval}" for one in found))
        caption = f"Differences with their intervals ({over})."
        return [forest_figure(shown, title=self.title, caption=caption, x="difference")]

    def plot(self, which: int | str = 0) -> go.Figure:
        """Draw one of the figures.

        Parameters
        ----------
        which : int or str
            Its number, from 0, or a part of its title.

        Raises
        ------
        ConfigError
            If there is no such figure; the titles are named.
        """
        from lakeviz.plots import caption_of

        figures = self.figures()
        titles = [caption_of(figure)[0] for figure in figures]
        if isinstance(which, int):
            found = figures[which : which + 1] if which >= 0 else []
        else:
            found = [f for f, t in zip(figures, titles, strict=True) if which.lower() in t.lower()]
        if not found:
            listed = "; ".join(f"{number} {title}" for number, title in enumerate(titles))
            raise ConfigError(f"{self.name} has no figure {which!r}; there are {listed or 'none'}")
        return found[0]

    def page_context(self) -> dict[str, Any]:
        """What its own ``template`` reads beside what every study's has."""
        return {}

    def _table_html(self) -> str:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f"<p><strong>{html.escape(self.title)}.</strong> {html.escape(self.summary())}</p>"
            + (f"<ul>{notes}</ul>" if notes else "")
            + table_html(self.table, ".table")
        )

    def _figure(self) -> go.Figure:
        return self.plot()

    # --- on disk ---

    def to_parquet(self, folder: str | Path) -> Path:
        """Write a folder: ``TABLE.parquet`` for each table, and ``study.json``.

        Each Parquet file also carries the provenance in its own metadata, so that a table that is
        passed on alone still says what made it. A result that is there is replaced when all of
        the new one is written.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        provenance = json.dumps(self.provenance, ensure_ascii=False).encode()
        described = {
            "protocol": PROTOCOL,
            "study": self.name,
            "summary": self.summary(),
            "notes": self.notes,
            "tables": list(self.tables),
            "provenance": self.provenance,
        }
        with written_together(folder) as scratch:
            described["sha256"] = {
                name: write_parquet(scratch / f"{name}.parquet", table, {_METADATA: provenance})
                for name, table in self.tables.items()
            }
            write_json(scratch / STUDY_FILE, described, sealed=True)
        return Path(folder)

    @classmethod
    def from_parquet(cls, folder: str | Path) -> Self:
        """Read a result back.

        Raises
        ------
        StoreError
            If it is missing, damaged, or the result of another study.
        """
        folder = Path(folder)
        described = read_description(folder)
        if described["study"] != cls.name:
            raise StoreError(f"{folder} holds a study {described['study']!r}, not {cls.name!r}")
        expected = described.get("sha256", {})
        tables = {
            n: read_parquet(folder / f"{n}.parquet", expected.get(n))
            # A table that came after the result was written is empty.
            if n in expected or not expected
            else pd.DataFrame()
            for n in cls.table_names()
        }
        made = described["provenance"]
        if described["protocol"] == _FIRST:
            tables = {name: cls._of_first(name, table) for name, table in tables.items()}
            made = {**made, "settings": _renamed(made.get("settings", {}), cls.renamed)}
        tables = {name: todays_selectors(table) for name, table in tables.items()}
        return cls(**tables, provenance=made, notes=list(described["notes"]))

    @classmethod
    def _of_first(cls, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """Table of protocol 1 with the names of today."""
        own = {f"{name}.{column}": column for column in table}
        names = {own.get(old, old): new for old, new in cls.renamed.items()}
        table = table.rename(columns=names)
        for column, values in {"metric": {"margin": "cohens_d"}, **cls.renamed_values}.items():
            if column in table:
                table[column] = table[column].replace(values)
        return table

    @classmethod
    def join(cls, results: Sequence[Self]) -> Self:
        """Put the results of several categories together.

        Raises
        ------
        ConfigError
            If there is none, or they were made with other settings.
        """
        if not results:
            raise ConfigError(f"there is no result of {cls.name} to join")
        settings = cls.joint_settings(results)
        first, *rest = results
        if not rest:
            return first
        tables = {
            name: _concatenate([getattr(r, name) for r in results]) for name in cls.table_names()
        }
        categories = {
            c: made for r in results for c, made in r.provenance.get("categories", {}).items()
        }
        notes = list(dict.fromkeys(note for r in results for note in r.notes))
        made = {**first.provenance, "settings": settings, "categories": categories}
        return cls(**tables, provenance=made, notes=notes)

    @classmethod
    def joint_settings(cls, results: Sequence[StudyResult]) -> Any:
        """Settings of the joined result.

        Raises
        ------
        ConfigError
            If those of the parts cannot stand in one result.
        """
        first, *rest = (result.provenance.get("settings") for result in results)
        if any(other != first for other in rest):
            raise ConfigError(f"results of {cls.name} with other settings cannot be joined")
        return first


def joint_by(
    results: Sequence[StudyResult], parts: Callable[[StudyResult], Mapping[str, Any]]
) -> dict[str, Any]:
    """Settings by the name of what was run, where one result may hold several such.

    Raises
    ------
    ConfigError
        If one was run twice on a category, or with other settings.
    """
    joint: dict[str, Any] = {}
    seen: set[tuple[str, str]] = set()
    for result in results:
        for name, made in parts(result).items():
            if joint.setdefault(name, made) != made:
                raise ConfigError(f"results of {name} with other settings cannot be joined")
            for category in result.categories:
                if (name, category) in seen:
                    raise ConfigError(f"{name} was run twice on {category}; join it once")
                seen.add((name, category))
    return joint


def read_description(folder: Path) -> Mapping[str, Any]:
    """Read ``study.json``.

    Raises
    ------
    StoreError
        If it is missing, damaged, or of a protocol this version does not know.
    """
    settle(folder)
    described = read_json(folder / STUDY_FILE)
    if described.get("protocol") not in (PROTOCOL, _FIRST):
        raise StoreError(f"{folder} holds no study of protocol {PROTOCOL!r}")
    remedy = f"delete {folder} and run the study again"
    found = of_file(folder / STUDY_FILE, Described, described, remedy)
    try:
        Bootstrap.from_plain(found["provenance"].get("bootstrap"))
    except ConfigError as error:
        raise StoreError(f"{folder / STUDY_FILE} is damaged: {error}; {remedy}") from error
    return found


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Nested mappings with some keys renamed."""
    if isinstance(value, Mapping):
        return {names.get(key, key): _renamed(member, names) for key, member in value.items()}
    return value


def _concatenate(tables: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if not table.empty]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]
