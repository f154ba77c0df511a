"""A run that was cut off goes on at the batch it was cut in, and ends bit-equal."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lakeviz.activations import Loading, TokenBatches
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import DataError, OutputError
from lakeviz.lake import LakeOptions
from lakeviz.models import load_model
from lakeviz.runs import run as module
from lakeviz.runs.run import execute
from lakeviz.runs.spec import RunSpec
from lakeviz.studies import StudyRun

TABLES = ("metrics", "scores", "controls", "draws", "curves", "spectrum")


@pytest.fixture(scope="module")
def model():
    return load_model("tiny")


@pytest.fixture
def root(tmp_path):
    write_benchmark(
        tmp_path / "data", categories=("tile",), size=32, n_train=6, n_good=4, n_per_defect=1
    )
    return tmp_path / "data"


@pytest.fixture
def spec(root):
    options = LakeOptions(k=8, map_size=(24, 24))
    return RunSpec("mvtec", root, shots=2, draws=2, controls=("all",), options=options)


@pytest.fixture
def scored(monkeypatch):
    """Names of the batches that were scored; the list may be told when to stop."""

    class Scored(list):
        stop_after = None

    found, batches = Scored(), TokenBatches.__iter__

    def each(self):
        for batch in batches(self):
            if self.label == "score":
                if len(found) == found.stop_after:
                    raise KeyboardInterrupt
                found.append([Path(name).stem for name in batch.sample_ids])
            yield batch

    monkeypatch.setattr(TokenBatches, "__iter__", each)
    return found


def run(spec, out, model, **loading):
    return execute(spec, out, model=model, loading=Loading(batch_size=3, **loading))


def assert_equal(one, other):
    for name in TABLES:
        pd.testing.assert_frame_equal(one.table(name), other.table(name), check_exact=True)


@pytest.mark.parametrize("stop", [1, 3])
def test_a_cut_loses_the_batch_in_flight_alone(spec, model, tmp_path, scored, stop):
    whole = run(spec, tmp_path / "whole", model)
    batches = list(scored)
    assert [len(batch) for batch in batches] == [3, 3, 3, 3]
    scored.clear()
    scored.stop_after = stop
    with pytest.raises(KeyboardInterrupt):
        run(spec, tmp_path / "cut", model)
    scored.stop_after = None
    resumed = run(spec, tmp_path / "cut", model)
    assert scored == batches
    assert_equal(whole, resumed)
    assert not (tmp_path / "cut" / "unfinished").exists()


def test_images_that_changed_meanwhile_are_all_scored_again(spec, model, root, tmp_path, scored):
    scored.stop_after = 3
    with pytest.raises(KeyboardInterrupt):
        run(spec, tmp_path / "cut", model)
    swap(root / "tile/test/good/000.png", root / "tile/test/good/001.png")
    scored.clear()
    scored.stop_after = None
    resumed = run(spec, tmp_path / "cut", model)
    assert len(scored) == 4
    assert_equal(run(spec, tmp_path / "whole", model), resumed)


def test_a_cut_run_that_skips_images_goes_on(spec, model, root, tmp_path, scored):
    good = sorted((root / "tile/test/good").iterdir())
    for path in (good[1], *sorted((root / "tile/test").rglob("*.png"))[:3]):
        path.write_text("no image")
    whole = run(spec, tmp_path / "whole", model, skip_bad=True)
    batches = list(scored)
    assert len(batches) == 3  # of the first, nothing can be read
    scored.clear()
    scored.stop_after = 2
    with pytest.raises(KeyboardInterrupt):
        run(spec, tmp_path / "cut", model, skip_bad=True)
    scored.stop_after = None
    resumed = run(spec, tmp_path / "cut", model, skip_bad=True)
    assert scored == batches
    assert_equal(whole, resumed)
    skipped = resumed.manifest["categories"]["tile"]["skipped"]
    assert skipped == whole.manifest["categories"]["tile"]["skipped"]
    assert len(skipped) == 4


def test_lists_of_normal_images_come_before_the_work(spec, model, root, tmp_path, monkeypatch):
    made = run(spec, tmp_path / "a", model)
    listed = [made.path("tile") / name for name in ("few_shot.txt", "few_shot_1.txt")]
    assert all("# shots: 2" in path.read_text() for path in listed)
    listed[1].unlink()
    run(spec, tmp_path / "a", model)
    assert listed[1].is_file()
    (root / "tile").rename(root / " tile")
    monkeypatch.setattr(module, "_entry", lambda *_: pytest.fail("was evaluated"))
    with pytest.raises(OutputError, match="cannot stand in a manifest"):
        run(spec, tmp_path / "b", model)


def swap(one: Path, other: Path) -> None:
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)


def changed_test_image(tile: Path) -> str:
    swap(tile / "test/good/000.png", tile / "test/good/001.png")
    return r"test images .*good/000\.png \(changed\)"


def changed_mask(tile: Path) -> str:
    mask = sorted((tile / "ground_truth").rglob("*.png"))[0]
    mask.write_bytes(sorted((tile / "ground_truth").rglob("*.png"))[-1].read_bytes())
    return r"1 of the test images .*\(changed\)"


def new_test_image(tile: Path) -> str:
    (tile / "test/good/new.png").write_bytes((tile / "test/good/000.png").read_bytes())
    return r"good/new\.png \(new\)"


def lost_test_image(tile: Path) -> str:
    (tile / "test/good/000.png").unlink()
    return r"good/000\.png \(gone\)"


def changed_normals(tile: Path) -> str:
    for path in (tile / "train/good").iterdir():
        path.write_bytes((tile / "test/good/000.png").read_bytes())
    return r"4 of the normal images .*\(changed\)"


@pytest.mark.parametrize(
    "change", [changed_test_image, changed_mask, new_test_image, lost_test_image, changed_normals]
)
def test_data_that_changed_stop_every_command(spec, model, root, tmp_path, change):
    run(spec, tmp_path / "a", model)
    said = change(root / "tile")
    with pytest.raises(DataError, match=said):
        run(spec, tmp_path / "a", model)
    opened = StudyRun.open(tmp_path / "a")
    opened.model = model
    for read in (opened.data, opened.draws_of, opened.evaluation):
        with pytest.raises(DataError, match=f"{said}.* put them back"):
            read("tile")
    with pytest.raises(DataError, match=said):
        opened.data("tile", shots=1)


def test_a_repaired_image_stops_them_and_a_skipped_one_does_not(spec, model, root, tmp_path):
    bad = root / "tile/test/good/001.png"
    whole = bad.read_bytes()
    bad.write_text("no image")
    run(spec, tmp_path / "a", model, skip_bad=True)
    opened = StudyRun.open(tmp_path / "a", loading=Loading(batch_size=3))
    opened.model = model
    assert len(opened.data("tile").test) == len(opened.evaluation("tile").maps) == 11
    bad.write_bytes(whole)
    with pytest.raises(DataError, match=r"good/001\.png \(changed\)"):
        StudyRun.open(tmp_path / "a").data("tile")


def test_a_normal_image_that_was_skipped_stays_left_out(spec, model, root, tmp_path):
    first = spec.draw_normals(spec.read_data(), "tile")[0]
    first.paths[0].write_text("no image")
    run(spec, tmp_path / "a", model, skip_bad=True)
    opened = StudyRun.open(tmp_path / "a", loading=Loading(batch_size=3))
    opened.model = model
    assert [len(draw.normal) for draw in opened.draws_of("tile")] == [1, 2]
    assert len(opened.data("tile", shots="all").normal) == 5
