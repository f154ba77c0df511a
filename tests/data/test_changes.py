"""Images that have changed since a result was made are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from lakeviz.data import read_dataset
from lakeviz.data.dataset import changes, contents, contents_of, require_unchanged
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import DataError


def test_what_changed_is_gone_or_new():
    was = {"a": "1", "b": "2", "c": "3"}
    assert changes(was, dict(was)) == []
    assert changes(was, {"a": "1", "b": "9", "d": "4"}) == ["b (changed)", "c (gone)", "d (new)"]
    require_unchanged(was, dict(was), "test images")
    many = {str(i): "x" for i in range(9)}
    with pytest.raises(DataError, match=r"9 of the test images .*0 \(gone\).* and 4 more; put"):
        require_unchanged(many, {}, "test images")


def test_a_mask_and_a_label_are_content_too(tmp_path):
    write_benchmark(tmp_path, categories=("tile",), size=32, n_train=2, n_good=1, n_per_defect=1)
    data = read_dataset("mvtec", tmp_path)
    before = contents(data)
    assert set(before) == set(data.sample_ids)
    row = data.anomalous().frame.iloc[0]
    other = data.anomalous().frame.iloc[1]
    Path(row["mask_path"]).write_bytes(Path(other["mask_path"]).read_bytes())
    assert changes(before, contents(data)) == [f"{row['sample_id']} (changed)"]
    single = contents_of(["a"], [data.paths[0]])
    assert before[data.sample_ids[0]].startswith(single["a"])
