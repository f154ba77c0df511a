"""What a journal keeps: whole records of one identity, in their order, also after a kill."""

from __future__ import annotations

import numpy as np
import pytest

from lakeviz.errors import OutputError
from lakeviz.journal import Journal, fingerprint

ARRAYS = {"z": np.arange(6.0).reshape(2, 3)[:, ::-1], "a": np.float64(0.1), "e": np.zeros((0, 2))}


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "new" / "kept", {"weights": "w0"})
    journal.put("first", ARRAYS)
    journal.put(["second", 2], {"x": np.array([7], dtype=np.int16)})
    return journal


def read(journal: Journal, **changes) -> Journal:
    return Journal(changes.get("path", journal.path), changes.get("identity", {"weights": "w0"}))


def test_arrays_come_back_in_their_order(journal):
    found = read(journal).get("first")
    assert list(found) == ["z", "a", "e"]
    assert [found[n].tolist() for n in found] == [[[2, 1, 0], [5, 4, 3]], 0.1, []]
    assert found["e"].shape == (0, 2)
    assert read(journal).get(["second", 2])["x"].dtype == np.int16
    assert read(journal).get(["second", 3]) is None


def test_records_of_another_identity_do_not_count(journal):
    assert read(journal, identity={"weights": "w1"}).get("first") is None


@pytest.mark.parametrize("cut", [1, 30, 90])
def test_a_record_that_was_cut_off_is_made_again(journal, cut):
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-cut])
    again = read(journal)
    assert again.get("first") is not None
    assert again.get(["second", 2]) is None
    assert again.keep(["second", 2], lambda: {"x": np.array([7], dtype=np.int16)})["x"] == 7
    assert journal.path.read_bytes() == whole


def test_a_damaged_record_does_not_count(journal):
    content = bytearray(journal.path.read_bytes())
    content[72 + 250] ^= 1
    journal.path.write_bytes(content)
    assert read(journal).get("first") is None
    assert read(journal).get(["second", 2])["x"] == 7


def test_what_is_kept_is_not_made_again(journal):
    assert journal.keep(["second", 2], lambda: pytest.fail("made again"))["x"] == 7
    journal.remove()
    assert not journal.path.exists()
    assert journal.get("first") is None


def test_a_journal_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot write .*file/kept"):
        Journal(tmp_path / "file" / "kept").put("a", {})


def test_fingerprints_tell_arrays_apart():
    parts = [(np.zeros(4),), (np.zeros((2, 2)),), (np.zeros(4, "f4"),), (0,), ("0",), (0, 0)]
    assert len({fingerprint(*one) for one in parts}) == len(parts)
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
