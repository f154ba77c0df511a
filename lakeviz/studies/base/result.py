"""What every study returns: tidy tables, what made them, and a sentence that says no more."""

from __future__ import annotations

import html
import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lakeviz.errors import ConfigError, OutputError, StoreError
from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.runs.storage import read_json, write_json
from lakeviz.showing import Shown, table_html

PROTOCOL = "lakeviz-study/1"
STUDIES, STUDY_FILE = "studies", "study.json"
_METADATA = b"lakeviz"

RESULTS: dict[str, type[StudyResult]] = {}
"""Result classes by the name of their study."""


@dataclass
class StudyResult(Shown):
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

    provenance: dict[str, Any] = field(repr=False)
    notes: list[str] = field(kw_only=True, default_factory=list)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            RESULTS[cls.name] = cls

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
    def level(self) -> float:
        """Level of its intervals."""
        return Bootstrap.from_plain(self.provenance.get("bootstrap")).confidence

    @abstractmethod
    def summary(self) -> str:
        """Say the effect, its control, n and the interval in words, and no more than they show."""

    def _table_html(self) -> str:
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f"<p><strong>{html.escape(self.title)}.</strong> {html.escape(self.summary())}</p>"
            + (f"<ul>{notes}</ul>" if notes else "")
            + table_html(self.table, ".table")
        )

    # --- on disk ---

    def to_parquet(self, folder: str | Path) -> Path:
        """Write a folder: ``TABLE.parquet`` for each table, and ``study.json``.

        Each Parquet file also carries the provenance in its own metadata, so that a table that is
        passed on alone still says what made it. ``study.json`` comes last: where it is, the rest
        is whole.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        folder = Path(folder)
        provenance = json.dumps(self.provenance, ensure_ascii=False).encode()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / STUDY_FILE).unlink(missing_ok=True)
            for name, table in self.tables.items():
                made = pa.Table.from_pandas(table, preserve_index=False)
                metadata = {**(made.schema.metadata or {}), _METADATA: provenance}
                pq.write_table(made.replace_schema_metadata(metadata), folder / f"{name}.parquet")
        except OSError as error:
            raise OutputError(f"cannot write to {folder}: {error}") from error
        described = {
            "protocol": PROTOCOL,
            "study": self.name,
            "summary": self.summary(),
            "notes": self.notes,
            "tables": list(self.tables),
            "provenance": self.provenance,
        }
        write_json(folder / STUDY_FILE, described)
        return folder

    @classmethod
    def from_parquet(cls, folder: str | Path) -> Self:
        """Read a result back.

        Raises
        ------
        StoreError
            If it is missing, damaged, or the result of another study.
        """
        folder = Path(folder)
        described = _read_description(folder)
        if described["study"] != cls.name:
            raise StoreError(f"{folder} holds a study {described['study']!r}, not {cls.name!r}")
        try:
            tables = {n: pd.read_parquet(folder / f"{n}.parquet") for n in cls.table_names()}
        except (OSError, ValueError) as error:
            raise StoreError(f"{folder} is damaged: {error}") from error
        return cls(**tables, provenance=described["provenance"], notes=list(described["notes"]))

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


def load_study(folder: str | Path) -> StudyResult:
    """Read the result of any study back.

    Raises
    ------
    StoreError
        If it is missing, damaged, or of a study this version does not know.
    """
    folder = Path(folder)
    name = _read_description(folder)["study"]
    if name not in RESULTS:
        raise StoreError(f"{folder} holds a study {name!r}, which this version does not know")
    return RESULTS[name].from_parquet(folder)


def load_studies(run: str | Path) -> list[StudyResult]:
    """Read every study of a run's folder, in the order of their names.

    Raises
    ------
    StoreError
        As :func:`load_study`.
    """
    found = sorted((Path(run) / STUDIES).glob(f"*/{STUDY_FILE}"))
    return [load_study(path.parent) for path in found]


def _read_description(folder: Path) -> Mapping[str, Any]:
    described = read_json(folder / STUDY_FILE)
    if not isinstance(described, dict) or described.get("protocol") != PROTOCOL:
        raise StoreError(f"{folder} holds no study of protocol {PROTOCOL!r}")
    return described


def _concatenate(tables: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if not table.empty]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]
