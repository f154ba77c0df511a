"""Tables of one image: worked by hand, and the same numbers as the detector's."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from lakeviz.errors import ConfigError, DataError, SelectionError
from lakeviz.explorer.fitted import Fitted
from lakeviz.explorer.one_image import patch_activations, patch_facts
from lakeviz.lake import LakeOptions, Normalisation, VisualOptions
from lakeviz.lake.attribution import split
from lakeviz.lake.options import KINDS
from lakeviz.studies.base.captured import StudyData


def by_hand(distance: str = "euclidean") -> StudyData:
    """Two normal patches and two test patches of two channels; channel 1 varies more."""
    normal = torch.tensor([[[0.0, 0.0], [10.0, 20.0]]])
    test = torch.tensor([[[3.0, 4.0], [10.0, 22.0]], [[0.0, 0.0], [1.0, 0.0]]])
    return StudyData.of_arrays(
        {"p": normal},
        {"p": test},
        np.array([1, 0]),
        grid=(1, 2),
        options=LakeOptions(k=2, text_weight=0, visual=VisualOptions(distance=distance)),
        category="c",
    )


def test_facts_worked_by_hand():
    table = patch_facts(by_hand(), 0)
    # (3, 4) is 5 from (0, 0): shares 9/25 and 16/25. (10, 22) is 2 from (10, 20), by channel 1.
    assert table["distance"].tolist() == [5, 2]
    assert table["score"].tolist() == [5, 2]
    assert table["neurons"].tolist() == ["1 (64 %), 0 (36 %)", "1 (100 %)"]
    assert table["nearest_image"].tolist() == ["normal 0"] * 2
    assert table["nearest_row"].tolist() == [0, 0]
    assert table["nearest_column"].tolist() == [0, 1]
    assert table[["category", "sample_id", "point"]].to_numpy().tolist() == [
        ["c", "test 0", "p"],
        ["c", "test 0", "p"],
    ]


def test_a_patch_without_distance_names_no_neuron():
    assert patch_facts(by_hand(), 1)["neurons"].tolist() == ["none: no distance", "0 (100 %)"]


def test_as_many_neurons_as_asked_for():
    assert patch_facts(by_hand(), 0, n_neurons=1)["neurons"].tolist() == ["1 (64 %)", "1 (100 %)"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stage", ["before", "after"])
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_shares_are_squared_differences_and_sum_to_one(world, kind, stage, distance):
    visual = VisualOptions(distance=distance, normalisation=Normalisation(kind, stage))
    data = world(visual=visual)
    gallery = next(iter(Fitted(data).galleries.values()))
    chosen = gallery.chosen(data.test.patches(data.points[0], [9]))[0]
    parts = split(gallery, chosen)
    share = parts.contribution / parts.score[:, None]
    assert share.sum(1) == pytest.approx(1, abs=1e-4)
    # From the normalised tokens alone: nothing of the gallery.
    query, normal = (gallery.compared(t).double().numpy() for t in (chosen, gallery.normal))
    if distance == "cosine":
        query, normal = (t / np.linalg.norm(t, axis=1, keepdims=True) for t in (query, normal))
    square = ((query[:, None] - normal[None]) ** 2).sum(2)
    nearest = square.argmin(1)
    assert (gallery.sources[nearest] == parts.neighbours[:, 0]).all()
    expected = (query - normal[nearest]) ** 2 / square.min(1)[:, None]
    assert share == pytest.approx(expected, abs=1e-4)


def test_scores_are_those_of_the_detector(world):
    data = world(points=("a", "b"))
    maps = data.visual_maps(data.branches([data.select(8)]))[0]
    table = patch_facts(data, 5)
    for point in ("a", "b"):
        own = table[table["point"] == point]
        assert own["score"].to_numpy() == pytest.approx(maps[5].ravel(), rel=1e-5)
        shares = [sum(map(int, re.findall(r"(\d+) %", text))) for text in own["neurons"]]
        assert max(shares) <= 101  # three rounded shares
    mean = table.groupby(["row", "column"])["distance"].mean()
    assert mean.to_numpy() == pytest.approx(maps[5].ravel(), rel=1e-5)


def test_coarser_points_tell_of_the_patch_that_covers():
    generator = torch.Generator().manual_seed(0)
    tokens = {p: torch.randn(3, n, 4, generator=generator) for p, n in (("fine", 16), ("rough", 4))}
    options = LakeOptions(k=4, text_weight=0)
    labels = np.array([0, 1, 1])
    data = StudyData.of_arrays(tokens, tokens, labels, grid=(4, 4), options=options)
    data.grids["rough"] = (2, 2)  # type: ignore[index]
    table = patch_facts(data, 1)
    rough = table[table["point"] == "rough"].set_index(["row", "column"])
    assert len(rough) == 16
    assert rough.loc[(3, 0), "neurons"] == rough.loc[(2, 1), "neurons"]
    # Test images are the normal ones here: each patch is its own neighbour.
    assert rough.loc[(3, 0), ["nearest_row", "nearest_column"]].tolist() == [1, 0]


def test_activations_are_in_deviations_of_the_normal_patches():
    table = patch_activations(by_hand(), 0)
    # Channel 0: mean 5, deviation 5; channel 1: mean 10, deviation 10. Channel 1 has rank 1.
    assert table["channel"].tolist() == [1, 1, 0, 0]
    assert table["rank"].tolist() == [1, 1, 2, 2]
    assert table["column"].tolist() == [0, 1, 0, 1]
    assert table["value"].tolist() == [4, 22, 3, 10]
    assert table["z"].to_numpy() == pytest.approx([-0.6, 1.2, -0.4, 1.0])


def test_what_is_not_there_is_refused(world):
    for make in (patch_facts, patch_activations):
        with pytest.raises(DataError, match="no image 2"):
            make(by_hand(), 2)
        with pytest.raises(SelectionError, match="subspace"):
            make(world(selector="pca"), 0)
    with pytest.raises(ConfigError, match="at least 1, not 0"):
        patch_facts(by_hand(), 0, n_neurons=0)
