"""Documents: every field of its type, or an error that names the field."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict

import pandas as pd
import pytest

from lakeviz.documents import read_document, restored
from lakeviz.errors import ConfigError, StoreError
from lakeviz.files import read_json, read_parquet, write_json, write_parquet


@dataclass(frozen=True)
class Inner:
    LATER = frozenset({"share"})

    kind: Literal["a", "b"]
    share: float = 0.5


@dataclass(frozen=True)
class Outer:
    k: int = None  # type: ignore[assignment]
    layers: tuple[int | str, ...] | None = None
    size: tuple[int, int] = (1, 1)
    inner: Inner = field(default_factory=lambda: Inner("a"))


class Page(TypedDict):
    name: str
    of: dict[str, list[Outer]]
    note: NotRequired[str | None]


WHOLE: dict[str, Any] = {"k": 3, "layers": [1, "x"], "size": [2, 3], "inner": {"kind": "b"}}


def test_a_shape_is_made_of_plain_data():
    made = Outer(3, (1, "x"), (2, 3), Inner("b", 0.5))
    assert restored(Outer, WHOLE) == made
    unset = Outer(layers=None, size=(2, 3), inner=made.inner)
    assert restored(Outer, WHOLE | {"k": None, "layers": None}) == unset
    page = restored(Page, {"name": "é", "of": {"x": [WHOLE]}, "more": [1]})
    assert page == {"name": "é", "of": {"x": [made]}, "more": [1]}
    assert restored(Inner, {"kind": "a", "share": 1}) == Inner("a", 1.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"k": "3"}, "options.k is '3', not a whole number"),
        ({"k": True}, "options.k is True, not a whole number"),
        ({"k": 2**63}, "options.k is 9223372036854775808, not a whole number of 64 bits"),
        ({"k": 10**5000}, "options.k is too large a number, not a whole number"),
        ({"layers": "12"}, "options.layers is '12', not a list"),
        ({"layers": [1, None]}, r"options.layers\[1\] is None, not a whole number or a text"),
        ({"size": [1]}, r"options.size is \[1\], not a list of 2"),
        ({"inner": []}, r"options.inner is \[\], not an object"),
        ({"inner": {"kind": "c"}}, "options.inner.kind is 'c', not 'a' or 'b'"),
        ({"inner": {"kind": ["a"]}}, "options.inner.kind is"),
        ({"inner": {}}, "options.inner.kind is missing"),
        ({"inner": {"kind": "a", "share": float("nan")}}, "inner.share is nan, not a finite"),
        ({"inner": {"kind": "a", "share": 10**400}}, "inner.share is"),
        ({"kk": 1}, "options.kk is unknown"),
        ({"\x1b[31m": 1}, r"options.'\\x1b\[31m' is unknown"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(change, said):
    with pytest.raises(ConfigError, match=said):
        restored(Outer, WHOLE | change, "options")


def test_nothing_is_left_out_silently():
    for name in WHOLE:
        with pytest.raises(ConfigError, match=f"^{name} is missing"):
            restored(Outer, {k: v for k, v in WHOLE.items() if k != name})
    with pytest.raises(ConfigError, match="of is missing"):
        restored(Page, {"name": "x"})


def test_a_damaged_file_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"name": 1, "of": {}})
    with pytest.raises(StoreError, match=r"a\.json is damaged: name is 1, not a text; run again"):
        read_document(path, Page, "run again")


def test_what_was_changed_after_it_was_written_is_refused(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"b": [1.5, None, float("nan")], "ä": {"x": 1}}, sealed=True)
    found = read_json(path)
    assert found["ä"] == {"x": 1}
    path.write_text(json.dumps({"ä": found["ä"], "checksum": found["checksum"], "b": found["b"]}))
    assert read_json(path)["b"][0] == 1.5  # the order of entries says nothing
    path.write_text(path.read_text().replace("1.5", "1.6"))
    with pytest.raises(StoreError, match=r"a\.json was changed after it was written"):
        read_json(path)


def test_a_table_that_was_changed_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    made = write_parquet(path, pd.DataFrame({"x": [1, 2]}))
    assert read_parquet(path, made)["x"].tolist() == [1, 2]
    pd.DataFrame({"x": [1, 3]}).to_parquet(path)
    assert read_parquet(path)["x"].tolist() == [1, 3]
    with pytest.raises(StoreError, match=r"a\.parquet was changed after it was written"):
        read_parquet(path, made)


@pytest.mark.parametrize(("depth", "whole"), [(50, True), (70, False), (900, False)])
def test_a_document_is_not_nested_without_end(tmp_path, depth, whole):
    path = tmp_path / "a.json"
    path.write_text('{"a":' * depth + "1" + "}" * depth)
    if whole:
        assert read_json(path)["a"]
        return
    with pytest.raises(StoreError, match="nested too deeply"):
        read_json(path)
