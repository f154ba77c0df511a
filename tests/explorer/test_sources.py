"""What explore takes: study data, an evaluation with its detector, the folder of a run."""

from __future__ import annotations

import numpy as np
import pytest

import lakeviz
from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError, DataError, NotFittedError
from lakeviz.explorer.sources import study_data_of
from lakeviz.explorer.state import Explorer
from lakeviz.lake import Lake, evaluate
from lakeviz.metrics import Bootstrap

SETTINGS = {"k": 8, "map_size": (32, 32)}


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    root = tmp_path_factory.mktemp("benchmark")
    write_benchmark(root, categories=("wood", "gear"), size=64, n_train=3, n_good=3, n_per_defect=1)
    return read_dataset("mvtec", root)


@pytest.fixture(scope="module")
def fitted(benchmark, tiny_model):
    own = benchmark.category("wood")
    lake = Lake(tiny_model(), **SETTINGS).fit(own.few_shot(2, 0))
    return lake, evaluate(lake, own, bootstrap=Bootstrap(n_resamples=20))


def test_evaluation_with_its_lake_gives_the_same_scores(fitted):
    lake, evaluation = fitted
    [data] = study_data_of(evaluation, lake)
    explorer = Explorer(data)
    np.testing.assert_allclose(
        explorer.images()["score"], evaluation.maps.image_scores, rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(
        explorer.image(2).map, evaluation.maps.patch[2], rtol=1e-4, atol=1e-6
    )
    expected = evaluation.neurons.sort_values(["point", "rank"])["channel"].tolist()
    assert explorer.neurons().sort_values(["point", "rank"])["channel"].tolist() == expected
    place, _ = explorer.patch(0, 0, 0).points[0].neighbours[0]
    assert place.sample_id.startswith("wood/train/good/")
    # Images fitted as a data set are named relative to its root instead.
    again = Lake(lake.model, **SETTINGS).fit(evaluation.dataset.normal())
    assert not again.normal_ids[0].startswith("/")
    with pytest.raises(DataError, match="is a test image"):
        study_data_of(evaluation, again)


def test_an_evaluation_needs_its_fitted_lake(fitted, tiny_model):
    lake, evaluation = fitted
    with pytest.raises(
        ConfigError, match=r"holds maps but no tokens: call explore\(evaluation, lake"
    ):
        lakeviz.explore(evaluation)
    with pytest.raises(NotFittedError):
        lakeviz.explore(evaluation, Lake(lake.model, **SETTINGS))


def test_normal_images_that_are_gone_are_named(fitted):
    lake, evaluation = fitted
    other = Lake(lake.model, **SETTINGS)
    other.branches, other.normal_ids = lake.branches, ["image 0"]
    with pytest.raises(DataError, match="fitted on 'image 0', which is not a file"):
        lakeviz.explore(evaluation, other)


def test_arguments_go_with_their_source(fitted, world):
    lake, _ = fitted
    with pytest.raises(ConfigError, match="a lake goes with an evaluation only"):
        lakeviz.explore(world(n_each=1), lake)
    with pytest.raises(ConfigError, match="folder of a run only"):
        lakeviz.explore(world(n_each=1), category="plate")
    with pytest.raises(ConfigError, match="or the folder of a run, not int"):
        lakeviz.explore(3)
    with pytest.raises(ConfigError, match="or the folder of a run, not list"):
        lakeviz.explore([world(n_each=1), 3])


def test_folder_of_a_run(benchmark, tmp_path):
    spec = lakeviz.RunSpec(
        dataset="mvtec",
        root=str(benchmark.root),
        model="tiny",
        shots=2,
        options=lakeviz.LakeOptions(k=8, map_size=(32, 32), text_weight=0),
    )
    result = lakeviz.execute(spec, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"has 2 categories.*category=.*gear, wood"):
        lakeviz.explore(tmp_path / "run")
    with pytest.raises(DataError, match="nearest: wood"):
        lakeviz.explore(tmp_path / "run", category="wod")
    widget = lakeviz.explore(tmp_path / "run", category=["wood", "gear"])
    assert widget.explorer.categories == ["wood", "gear"]
    for evaluation in result.evaluations:
        np.testing.assert_allclose(
            widget.explorer.images(evaluation.category)["score"],
            evaluation.maps.image_scores,
            rtol=1e-4,
        )
    widget.close()
