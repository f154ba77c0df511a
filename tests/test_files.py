"""Result files: whole or not there, readable by others, and errors that name the file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from lakeviz.errors import OutputError, StoreError
from lakeviz.files import (
    read_arrays,
    read_json,
    read_parquet,
    remove,
    remove_scratch,
    settle,
    write_arrays,
    write_csv,
    write_json,
    write_parquet,
    write_text,
    written,
    written_together,
)

TABLE = pd.DataFrame({"name": ["a", "é"], "value": [0.5, np.nan]}, index=[7, 9])


def test_what_is_written_is_read(tmp_path):
    folder = tmp_path / "new" / "folder"
    write_json(folder / "a.json", {"ü": [1, None]})
    assert read_json(folder / "a.json") == {"ü": [1, None]}
    write_parquet(folder / "a.parquet", TABLE, {b"made by": b"test"})
    pd.testing.assert_frame_equal(read_parquet(folder / "a.parquet"), TABLE.reset_index(drop=True))
    assert pq.read_schema(folder / "a.parquet").metadata[b"made by"] == b"test"
    write_csv(folder / "a.csv", TABLE)
    assert (folder / "a.csv").read_text() == "name,value\na,0.5\né,\n"
    write_text(folder / "a.txt", "one\ntwo\n")
    assert (folder / "a.txt").read_bytes() == b"one\ntwo\n"
    with written(folder / "a.safetensors") as scratch:
        save_file({"x": np.arange(3)}, str(scratch))
    assert load_file(folder / "a.safetensors")["x"].tolist() == [0, 1, 2]
    assert len(list(folder.iterdir())) == 5
    remove(folder / "a.txt")
    remove(folder / "a.txt")
    assert not (folder / "a.txt").exists()


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_write_that_is_cut_off_leaves_the_old_file(tmp_path, stop):
    write_text(tmp_path / "a.txt", "old")
    expected = OutputError if isinstance(stop, OSError) else KeyboardInterrupt
    with pytest.raises(expected), written(tmp_path / "a.txt") as scratch:
        scratch.write_text("half")
        assert scratch.parent == tmp_path
        raise stop
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_files_have_the_permissions_of_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "a.json", {})
        write_parquet(tmp_path / "a.parquet", TABLE)
        with written(tmp_path / "a.safetensors") as scratch:
            save_file({"x": np.arange(3)}, str(scratch))
    finally:
        os.umask(before)
    assert {stat.S_IMODE(p.stat().st_mode) for p in tmp_path.iterdir()} == {0o640}


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with written(tmp_path / "a.txt") as one, written(tmp_path / "a.txt") as two:
        one.write_text("one")
        two.write_text("two")
    assert (tmp_path / "a.txt").read_text() == "one"


@pytest.mark.parametrize("write", [write_json, write_text, write_csv, write_parquet])
def test_what_cannot_be_written_is_named(tmp_path, write):
    (tmp_path / "file").write_text("")
    content = TABLE if write in (write_csv, write_parquet) else "x"
    with pytest.raises(OutputError, match=r"cannot write .*file/a\.x"):
        write(tmp_path / "file" / "a.x", content)
    with pytest.raises(OutputError, match=r"cannot write to .*file"):
        remove(tmp_path / "file" / "a.x")
    with (
        pytest.raises(OutputError, match=r"cannot write .*file/a\.x"),
        written(tmp_path / "file/a.x") as scratch,
    ):
        save_file({"x": np.arange(3)}, str(scratch))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        (b"{", "as JSON .* restore the file, or delete it"),
        (b"\xff", "as JSON .*utf-8"),
        (b"[" * 200_000, "nested too deeply"),
        (b"[1]", "holds a list, not a JSON object"),
    ],
)
def test_json_that_cannot_be_read_is_named(tmp_path, content, said):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(StoreError, match=rf"a\.json.*{said}"):
        read_json(tmp_path / "a.json")


def test_parquet_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(StoreError, match=r"cannot read .*a\.parquet: there is no such file"):
        read_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes(b"no")
    with pytest.raises(StoreError, match=r"a\.parquet is damaged"):
        read_parquet(tmp_path / "a.parquet")


def test_files_of_one_result_replace_the_old_ones_together(tmp_path):
    for name in ("a", "b"):
        write_text(tmp_path / f"{name}.txt", "old")
    with pytest.raises(KeyboardInterrupt), written_together(tmp_path) as scratch:
        write_text(scratch / "a.txt", "new")
        raise KeyboardInterrupt
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "old", "b.txt": "old"}
    with written_together(tmp_path) as scratch:
        for name in ("a", "b", "c"):
            write_text(scratch / f"{name}.txt", "new")
        assert (tmp_path / "b.txt").read_text() == "old"
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {
        f"{name}.txt": "new" for name in ("a", "b", "c")
    }


@pytest.mark.parametrize("moment", range(6))
def test_a_kill_between_them_is_mended_by_the_next_reader(tmp_path, monkeypatch, moment):
    """Killed at any rename, a reader finds all of the old files or all of the new ones."""
    for name in ("a", "b"):
        write_text(tmp_path / f"{name}.txt", "old")
    passed = 0

    def killing(call):
        def wrapped(*args):
            nonlocal passed
            passed += 1
            if passed == moment + 1:
                raise KeyboardInterrupt
            return call(*args)

        return wrapped

    with monkeypatch.context() as patch:
        for name in ("rename", "replace"):
            patch.setattr(Path, name, killing(getattr(Path, name)))
        try:
            with written_together(tmp_path) as scratch:
                for name in ("a", "b"):
                    write_text(scratch / f"{name}.txt", "new")
            assert moment == 5
        except KeyboardInterrupt:
            pass
    settle(tmp_path)
    found = {p.name: p.read_text() for p in tmp_path.iterdir()}
    assert found == dict.fromkeys(("a.txt", "b.txt"), "old" if moment < 3 else "new")


def test_arrays_that_were_damaged_or_swapped_are_named(tmp_path):
    path, arrays = tmp_path / "a.safetensors", {"x": np.arange(1000.0), "e": np.zeros((0, 3))}
    made = write_arrays(path, arrays)
    assert read_arrays(path)["x"].tolist() == arrays["x"].tolist()
    assert read_arrays(path, made)["e"].shape == (0, 3)
    with pytest.raises(StoreError, match=r"a\.safetensors belongs to something else .* delete it"):
        read_arrays(path, write_arrays(tmp_path / "b.safetensors", {"x": np.ones(1000)}))
    content = bytearray(path.read_bytes())
    content[4000:4100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.safetensors is damaged: .*checksum.* delete it"):
        read_arrays(path)


def test_arrays_without_a_checksum_open_and_say_so(tmp_path, caplog):
    save_file({"x": np.arange(3)}, str(tmp_path / "old.safetensors"))
    with caplog.at_level("INFO", "lakeviz.files"):
        assert read_arrays(tmp_path / "old.safetensors")["x"].tolist() == [0, 1, 2]
    assert "carries no checksum" in caplog.text


def test_numbers_of_a_table_that_were_damaged_are_named(tmp_path):
    path = tmp_path / "a.parquet"
    write_parquet(path, pd.DataFrame({"x": np.random.default_rng(0).normal(size=5000)}))
    content = bytearray(path.read_bytes())
    content[20000:20016] = bytes(16)
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"a\.parquet is damaged"):
        read_parquet(path)


def test_what_a_kill_left_is_removed(tmp_path):
    kept = ("a.txt", "tmp", ".tmpfile.txt", "a.tmp.txt")
    left = ("a.txt.0123abcd.tmp", ".tmpA1b2C3")
    for name in (*kept, *left):
        (tmp_path / name).write_text("")
    (tmp_path / "0123abcd.tmp").mkdir()
    (tmp_path / "0123abcd.tmp" / "x").write_text("")
    remove_scratch(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(kept)
