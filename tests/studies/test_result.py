"""Results on disk and in notebooks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

import pandas as pd
import pyarrow.parquet as pq
import pytest
from stored import read_unsealed

from lakeviz.errors import ConfigError, OutputError, StoreError
from lakeviz.studies import load_study, neurons, register_study
from lakeviz.studies.base import registry
from lakeviz.studies.base.result import StudyResult
from lakeviz.studies.base.settings import Settings
from lakeviz.studies.base.study import Study


@dataclass
class _Made(StudyResult):
    name: ClassVar[str] = "made_up"
    title: ClassVar[str] = "A study <b>made up</b>"

    values: pd.DataFrame
    other: pd.DataFrame

    def summary(self) -> str:
        return f"{len(self.values)} rows of <i>nothing</i>"

    def figures(self):
        return []


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    register_study(Study(Settings, _Made))


def made(category="wood", settings=None, notes=()) -> _Made:
    return _Made(
        values=pd.DataFrame({"category": category, "value": [0.5, float("nan")]}),
        other=pd.DataFrame({"category": [category], "name": ["<script>"]}),
        provenance={
            "study": "made_up",
            "settings": settings or {"k": 2},
            "categories": {category: {"fit": {"n_images": 4}}},
        },
        notes=list(notes),
    )


def test_a_result_names_its_tables_and_does_not_write_them():
    assert repr(made()) == (
        "<_Made of wood: values (2 rows), other (1 row); summary() says what was found>"
    )


def test_a_study_says_what_it_takes():
    with pytest.raises(ConfigError, match=r"what capture_study.* returns, not str; on the folder"):
        neurons("runs/mvtec")  # type: ignore[arg-type]


def test_round_trip(tmp_path):
    first = made(notes=["wood: no masks"])
    folder = first.to_parquet(tmp_path / "study")
    again = _Made.from_parquet(folder)
    for name, table in first.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)
    assert (again.provenance, again.notes) == (first.provenance, first.notes)
    assert isinstance(load_study(folder), _Made)
    # A table that is passed on alone still says what made it.
    metadata = pq.read_schema(folder / "other.parquet").metadata
    assert json.loads(metadata[b"lakeviz"]) == first.provenance


def test_joining_categories():
    joined = _Made.join([made("wood", notes=["same"]), made("steel", notes=["same", "own"])])
    assert list(joined.table["category"]) == ["wood", "wood", "steel", "steel"]
    assert joined.categories == ["wood", "steel"]
    assert joined.notes == ["same", "own"]
    with pytest.raises(ConfigError, match="other settings cannot be joined"):
        _Made.join([made(), made("steel", {"k": 3})])
    with pytest.raises(ConfigError, match="no result of made_up"):
        _Made.join([])


def test_names_stay_text_in_notebooks():
    page = made(notes=["<script>alert(1)</script>"])._repr_html_()
    assert "<script>" not in page
    assert "<i>nothing" not in page
    assert "&lt;b&gt;made up" in page


def test_damaged_foreign_and_missing_results(tmp_path):
    folder = made().to_parquet(tmp_path / "study")
    described = read_unsealed(folder / "study.json")
    (folder / "study.json").write_text(json.dumps({**described, "study": "other"}))
    with pytest.raises(StoreError, match="holds a study 'other', not 'made_up'"):
        _Made.from_parquet(folder)
    with pytest.raises(StoreError, match="this version does not know"):
        load_study(folder)
    (folder / "study.json").write_text(json.dumps(described))
    (folder / "values.parquet").write_bytes(b"no")
    with pytest.raises(StoreError, match="is damaged"):
        _Made.from_parquet(folder)
    with pytest.raises(StoreError, match="cannot read"):
        load_study(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        made().to_parquet(tmp_path / "file" / "study")
