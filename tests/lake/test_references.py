"""Centred tokens and prototypes against formulas in numpy, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lakeviz.activations import ChannelStatistics
from lakeviz.errors import ConfigError, SelectionError
from lakeviz.lake import (
    BranchSpec,
    Lake,
    LakeOptions,
    Normalisation,
    VisualOptions,
    fit_branches,
)
from lakeviz.lake.attribution import NeuronGallery
from lakeviz.lake.layers import default_k, with_k
from lakeviz.lake.provenance import as_plain
from lakeviz.models import load_model

POINT = "blocks.0.hook_resid_post"
GENERATOR = np.random.default_rng(0)
NORMAL = GENERATOR.standard_normal((40, 6)) * [5, 1, 3, 0.5, 4, 2] + [9, 0, -4, 1, 2, 50]
TEST = GENERATOR.standard_normal((7, 6)) * 3
TOP = [0, 4, 2]  # the channels of highest variance


def scores(options: VisualOptions) -> np.ndarray:
    normal = torch.from_numpy(NORMAL).float()[None]
    statistics = {POINT: ChannelStatistics(POINT).update(normal)}
    (branch,) = fit_branches([{POINT: normal}], statistics, [BranchSpec(k=3)], options)
    assert branch.selections[POINT].channels.tolist() == TOP
    test = torch.from_numpy(TEST).float()[None]
    return branch.score({POINT: test})[POINT][0].numpy()


def unit(tokens: np.ndarray) -> np.ndarray:
    return tokens / np.linalg.norm(tokens, axis=-1, keepdims=True)


def test_centred_cosine_compares_deviations_from_the_mean() -> None:
    normal, test = NORMAL - NORMAL.mean(0), TEST - NORMAL.mean(0)
    expected = (1 - unit(test[:, TOP]) @ unit(normal[:, TOP]).T).min(1)
    np.testing.assert_allclose(scores(VisualOptions(center=True)), expected, atol=2e-6)
    assert np.abs(scores(VisualOptions()) - expected).max() > 0.05


def test_centring_comes_before_a_normalisation_of_all_channels() -> None:
    normal, test = (unit(t - NORMAL.mean(0))[:, TOP] for t in (NORMAL, TEST))
    expected = np.linalg.norm(test[:, None] - normal, axis=-1).min(1)
    options = VisualOptions("euclidean", normalisation=Normalisation("l2"), center=True)
    np.testing.assert_allclose(scores(options), expected, atol=2e-6)


def test_euclidean_distances_and_z_scores_do_not_change_by_centring() -> None:
    for kind, stage in (("none", "before"), ("zscore", "before"), ("zscore", "after")):
        plain = VisualOptions("euclidean", normalisation=Normalisation(kind, stage))
        centred = VisualOptions("euclidean", normalisation=Normalisation(kind, stage), center=True)
        np.testing.assert_allclose(scores(centred), scores(plain), rtol=1e-5)


def test_a_prototype_is_the_mean_of_the_normal_tokens() -> None:
    mean = NORMAL.mean(0)[TOP]
    cosine = 1 - unit(TEST[:, TOP]) @ unit(mean)
    np.testing.assert_allclose(scores(VisualOptions(reference="prototype")), cosine, atol=2e-6)
    euclidean = np.linalg.norm(TEST[:, TOP] - mean, axis=1)
    options = VisualOptions("euclidean", reference="prototype")
    np.testing.assert_allclose(scores(options), euclidean, rtol=1e-5)
    # After a normalisation it is the mean of the normalised tokens.
    options = VisualOptions(normalisation=Normalisation("l2", "after"), reference="prototype")
    expected = 1 - unit(TEST[:, TOP]) @ unit(unit(NORMAL[:, TOP]).mean(0))
    np.testing.assert_allclose(scores(options), expected, atol=2e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reference": "prototypes"}, "reference must be gallery or prototype, not 'prototypes'"),
        ({"reference": "prototype", "neighbours": 2}, "neighbours=1 and coreset=1, not 2 and 1"),
        ({"reference": "prototype", "coreset": 0.5}, "neighbours=1 and coreset=1, not 1 and 0.5"),
        ({"reference": "prototype", "center": True}, "mean of centred tokens is zero"),
        (
            {"reference": "prototype", "normalisation": Normalisation("zscore")},
            "mean of centred tokens is zero",
        ),
    ],
)
def test_what_is_not_defined_is_refused(given, message) -> None:
    with pytest.raises(ConfigError, match=message):
        VisualOptions(**given)


def test_a_prototype_has_no_nearest_patches() -> None:
    normal = torch.from_numpy(NORMAL).float()[None]
    statistics = {POINT: ChannelStatistics(POINT).update(normal)}
    options = VisualOptions(reference="prototype")
    (branch,) = fit_branches([{POINT: normal}], statistics, [BranchSpec(k=3)], options)
    with pytest.raises(SelectionError, match="no nearest one"):
        NeuronGallery.of_point(branch.points[POINT], normal)


def test_options_of_before_have_the_old_meaning() -> None:
    plain = json.loads(json.dumps(as_plain(LakeOptions(k=100))))
    del plain["selection_scope"], plain["visual"]["center"], plain["visual"]["reference"]
    assert LakeOptions.from_plain(plain) == LakeOptions(k=100)


def test_scope_is_checked() -> None:
    with pytest.raises(ConfigError, match="selection_scope must be layer or joint, not 'all'"):
        LakeOptions(selection_scope="all")


@pytest.mark.parametrize(
    "visual",
    [VisualOptions(center=True), VisualOptions(reference="prototype")],
    ids=["center", "prototype"],
)
def test_a_saved_detector_scores_the_same(visual, tmp_path) -> None:
    model = load_model("tiny")
    images = torch.rand(4, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    lake = Lake(model, k=8, layers=(1,), text_weight=0, visual=visual).fit(images[:2])
    lake.save(tmp_path)
    back = Lake.load(tmp_path, model)
    np.testing.assert_array_equal(back.score(images[2:]).patch, lake.score(images[2:]).patch)


def test_k_is_at_most_an_eighth_of_the_narrowest_layer() -> None:
    assert [default_k([d]) for d in (4, 192, 768, 1024)] == [1, 24, 96, 100]
    assert default_k([192, 768]) == 24
    assert default_k([192, 768], "joint") == 48
    assert with_k(LakeOptions(k=100), [192]).k == 100
    model = load_model("tiny")
    assert Lake(model).options.k == 24
    assert Lake(model, k=100).options.k == 100
    assert Lake(model, layers=(1, 2, 3), selection_scope="joint").options.k == 72
