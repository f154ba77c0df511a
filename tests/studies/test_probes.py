"""Sparse probes: planted carriers are found, nothing comes from nothing, images stay apart."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import hypergeom
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lakeviz.errors import ConfigError
from lakeviz.metrics import Bootstrap
from lakeviz.studies import load_study, probes
from lakeviz.studies.probes.study import Labelled, Probe, fixed, make_folds, most_different

FEW = Bootstrap(n_resamples=100)
SMALL = dict(n_random_sets=3, n_shuffles=3, bootstrap=FEW)


def labelled(world, **settings) -> Labelled:
    data = world(**settings)
    labels = np.asarray(data.truth.labels, dtype=bool)
    defect = np.stack(
        [np.asarray(m.defect if hasattr(m, "defect") else m) for m in data.truth.masks]
    )
    tokens = data.test.patches(data.points[0]).numpy()
    folds = make_folds(labels, 4, 0)
    return Labelled(tokens, defect.reshape(len(labels), -1), ~labels, folds, 16, 0)


def test_a_fold_is_scored_by_scikit_learn_on_the_others(world) -> None:
    data = labelled(world)
    channels = np.array([0, 5])
    maps, chosen = Probe().maps(data, fixed(channels))
    assert all(np.array_equal(one, channels) for one in chosen)
    images, patches = data.rows
    train = data.folds[images] != 2
    x = data.tokens[images[train], patches[train]][:, channels]
    bare = make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=1000)
    ).fit(x, ~data.is_normal[images[train]])
    own = data.folds == 2
    flat = data.tokens[own][..., channels].reshape(-1, 2)
    np.testing.assert_allclose(
        maps[own].ravel(), bare.decision_function(flat), rtol=1e-3, atol=1e-3
    )


def test_training_tokens_are_defects_and_patches_of_normal_images(world) -> None:
    data = labelled(world)
    images, patches = data.rows
    for image, patch in zip(images, patches, strict=True):
        assert data.is_normal[image] or data.is_defect[image, patch]
    shuffled = data.shuffled(0)
    assert shuffled.sum() == (~data.is_normal).sum()
    assert not np.array_equal(shuffled, ~data.is_normal)


def test_planted_carriers_are_chosen_whatever_their_variance(world) -> None:
    data = labelled(world, signal=(13, 14, 15))
    assert set(most_different(3)(*_rows(data))) == {13, 14, 15}
    found = probes(world(signal=(13, 14, 15)), sizes=(3,), **SMALL)
    own = found.metrics.query("control == 'random' and level == 'pixel' and metric == 'auroc'")
    value = own.set_index("neurons")["value"]
    assert value["probe"] > 0.97
    assert value["variance"] < 0.7
    assert found.overlap["shared"].tolist() == [0.0]
    own = found.metrics.query("control == 'shuffled labels' and neurons == 'probe'")
    assert (own["difference"] > 0.15).all()


def _rows(data: Labelled) -> tuple[np.ndarray, np.ndarray]:
    images, patches = data.rows
    return data.tokens[images, patches], ~data.is_normal[images]


def test_overlap_has_the_chance_of_the_hypergeometric_law(world) -> None:
    scales = (9.0, 8.0, 7.0, *np.linspace(2, 1, 13))
    found = probes(world(signal=(0, 1, 2), scales=scales), sizes=(3,), **SMALL).overlap.set_index(
        "size"
    )
    assert found.loc[3, "shared"] == 3
    assert found.loc[3, "expected"] == pytest.approx(9 / 16)
    assert found.loc[3, "p_value"] == pytest.approx(hypergeom.sf(2, 16, 3, 3))


def test_nothing_is_read_from_nothing(world) -> None:
    values = []
    for seed in range(6):
        found = probes(world(shift=0.0, seed=seed), sizes=(4,), **SMALL)
        own = found.metrics.query("neurons == 'all' and level == 'pixel' and metric == 'auroc'")
        values.append(own["value"].iloc[0])
    assert np.mean(values) == pytest.approx(0.5, abs=0.05)


def test_tables_words_and_figures(world, tmp_path) -> None:
    found = probes(world(points=("a", "b")), sizes=(2, 100), **SMALL)
    assert set(found.metrics["point"]) == {"a", "b"}
    assert set(found.overlap["size"]) == {2}
    lasso = found.metrics.query("neurons == 'l1'")
    assert (lasso["size"] < 16).all()
    assert "Of the 2 neurons of a that differ most" in found.summary()
    assert len(found.figures()) == 4
    found.to_parquet(tmp_path)
    assert load_study(tmp_path).summary() == found.summary()


def test_without_masks_every_patch_stands_for_the_image(world) -> None:
    found = probes(world(masks=False), sizes=(3,), **SMALL)
    assert "every patch of an anomalous image is taken for a defect" in found.notes[0]
    assert set(found.metrics["level"]) == {"image"}


def test_too_few_images_of_a_class(world) -> None:
    with pytest.raises(ConfigError, match="one has 3; use fewer folds"):
        probes(world(n_anomalous=3), **SMALL)
    with pytest.raises(ConfigError, match="at least 1"):
        probes(world(), sizes=(0,))
