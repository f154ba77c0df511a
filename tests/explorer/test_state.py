"""The explorer's answers: exact shares, knock-outs equal to a refit, random sets beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lakeviz.errors import ConfigError, DataError, SelectionError
from lakeviz.explorer import Explorer
from lakeviz.explorer.fitted import Fitted, Stopped
from lakeviz.lake import NeuronSelection, Normalisation, VisualOptions
from lakeviz.lake.options import KINDS
from lakeviz.metrics import Bootstrap
from lakeviz.studies.base.captured import TextMaps
from lakeviz.studies.dossier import dossier

POINT = "blocks.0.hook_resid_post"
SIGNAL = (0, 1, 2)
VISUALS = [
    VisualOptions(distance=distance, neighbours=n, normalisation=Normalisation(kind, stage))
    for distance in ("euclidean", "cosine")
    for n in (1, 3)
    for kind, stage in (("none", "before"), ("l2", "before"), ("layernorm", "after"))
] + [VisualOptions(normalisation=Normalisation(kind, "after")) for kind in KINDS]


def reduced(data, dropped):
    """The detector refitted on its selection without some channels: nothing of the explorer."""
    chosen = {}
    for point, selection in data.select(data.options.k).items():
        keep = ~np.isin(selection.channels, list(dropped.get(point, ())))
        chosen[point] = NeuronSelection(
            point, selection.channels[keep], selection.scores[keep], selection.n_channels, "rest"
        )
    return data.visual_maps(data.branches([chosen]))[0]


# --- images ---


def test_intact_maps_are_the_detectors(world):
    data = world(points=("a", "b"))
    explorer = Explorer(data)
    expected = data.visual_maps(data.branches([data.select(8)]))[0]
    for index in (0, 11):
        np.testing.assert_allclose(explorer.image(index).map, expected[index], rtol=1e-5)
    table = explorer.images()
    np.testing.assert_allclose(table["score"], expected.max(axis=(1, 2)), rtol=1e-5)
    assert table["label"].tolist() == data.truth.labels.tolist()
    assert explorer.neurons().groupby("point")["channel"].count().to_dict() == {"a": 8, "b": 8}


def test_text_is_fused_and_never_knocked(world):
    data = world()
    shape = (len(data.test), 6, 8)
    patch = np.random.default_rng(0).random(shape).astype(np.float32)
    data = replace(data, text=TextMaps(patch, patch.max(axis=(1, 2))), text_weight=0.25)
    explorer = Explorer(data)
    view = explorer.image(3)
    np.testing.assert_allclose(view.map, 0.75 * view.parts["visual"] + 0.25 * patch[3], rtol=1e-5)
    off = explorer.knock_out({POINT: SIGNAL[:2]}, 3)
    expected = 0.75 * reduced(data, {POINT: SIGNAL[:2]})[3] + 0.25 * patch[3]
    np.testing.assert_allclose(off.map, expected, rtol=1e-5)
    one = explorer.patch(3, 1, 2)
    assert one.text == pytest.approx(float(patch[3, 1, 2]))
    assert one.score == pytest.approx(0.75 * one.visual + 0.25 * one.text, rel=1e-5)


# --- patches ---


@pytest.mark.parametrize("visual", VISUALS, ids=str)
@pytest.mark.parametrize("dropped", [{}, {POINT: (0, 3)}], ids=["all", "two off"])
def test_shares_sum_to_the_distance(world, visual, dropped):
    explorer = Explorer(world(visual=visual, n_each=2))
    view = explorer.patch(3, 2, 5, dropped=dropped)
    point = view.points[0]
    assert point.shares["contribution"].sum() == pytest.approx(view.score, rel=2e-5)
    assert point.shares["share"].sum() == pytest.approx(1.0, rel=2e-5)
    assert (point.shares["share"] >= 0).all()
    assert point.unattributed == 0
    assert not set(point.shares["channel"]) & set(dropped.get(POINT, ()))


def test_shares_by_hand(world):
    data = world()
    view = Explorer(data).patch(9, 1, 4)
    point = view.points[0]
    channels = data.select(8)[POINT].channels.copy()
    query = data.test.patches(POINT, [9])[0, 1 * 8 + 4, channels].numpy().astype(float)
    gallery = data.normal.patches(POINT).flatten(0, 1)[:, channels].numpy().astype(float)
    square = ((gallery - query) ** 2).sum(1)
    number = square.argmin()
    place, distance = point.neighbours[0]
    assert (place.image, place.row * 8 + place.column) == divmod(number, 48)
    assert distance == pytest.approx(np.sqrt(square.min()), rel=1e-5)
    own = (gallery[number] - query) ** 2 / square.min()
    found = point.shares.set_index("channel")["share"]
    np.testing.assert_allclose(found.loc[channels], own, rtol=1e-4)


def test_cosine_shares_by_hand(world):
    data = world(visual=VisualOptions(distance="cosine"))
    point = Explorer(data).patch(9, 0, 0).points[0]
    channels = data.select(8)[POINT].channels.copy()
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)  # noqa: E731
    query = unit(data.test.patches(POINT, [9])[0, 0, channels].numpy().astype(float))
    gallery = unit(data.normal.patches(POINT).flatten(0, 1)[:, channels].numpy().astype(float))
    cosine = gallery @ query
    nearest = gallery[cosine.argmax()]
    found = point.shares.set_index("channel").loc[channels]
    np.testing.assert_allclose(found["contribution"], (query - nearest) ** 2 / 2, rtol=1e-4)
    assert found["contribution"].sum() == pytest.approx(1 - cosine.max(), rel=1e-4)


def test_a_zero_patch_is_at_distance_one_by_convention_not_by_a_neuron(world):
    data = world(visual=VisualOptions(distance="cosine"), n_each=2)
    data.test.source.tensors[POINT][0, 0] = 0
    point = Explorer(data).patch(0, 0, 0).points[0]
    assert point.score == pytest.approx(1.0)
    assert point.shares["share"].sum() == pytest.approx(0.5)
    assert point.unattributed == pytest.approx(0.5)


def test_planted_neurons_have_the_largest_shares(world):
    explorer = Explorer(world())
    for index in range(8, 16):
        row, column = np.unravel_index(explorer.image(index).map.argmax(), (6, 8))
        shares = explorer.patch(index, int(row), int(column)).points[0].shares
        assert set(shares["channel"][:3]) == set(SIGNAL)


def test_usual_shares_are_those_of_normal_patches(world):
    explorer = Explorer(world(n_each=3))
    views = [
        explorer.patch(i, row, column).points[0]
        for i in range(3)
        for row in range(6)
        for column in range(8)
    ]
    total = sum(v.score for v in views)
    one = sum(v.shares.set_index("channel")["contribution"] for v in views) / total
    usual = views[0].shares.set_index("channel")["normal_share"]
    np.testing.assert_allclose(usual.sort_index(), one.sort_index(), rtol=1e-4)


def test_coreset_neighbours_keep_their_names(world):
    data = world(visual=VisualOptions(distance="euclidean", coreset=0.2))
    fitted = Fitted(data)
    gallery = fitted.galleries[POINT]
    assert len(gallery.sources) == len(gallery.reduced) == round(0.2 * 3 * 48)
    everything = data.normal.patches(POINT).flatten(0, 1)
    np.testing.assert_array_equal(
        gallery.reduced.tokens, everything[gallery.sources][:, gallery.channels.copy()]
    )


# --- knock-outs ---


@pytest.mark.parametrize("visual", VISUALS, ids=str)
def test_knock_out_equals_a_refit_detector(world, visual):
    data = world(visual=visual, points=("a", "b"), n_each=2)
    explorer = Explorer(data)
    dropped = {"a": (1, 4), "b": (0,)}
    expected = reduced(data, dropped)
    view = explorer.knock_out(dropped, 2)
    np.testing.assert_allclose(view.map, expected[2], rtol=1e-4, atol=1e-6)
    assert view.score == pytest.approx(expected[2].max(), rel=1e-4)
    assert view.intact == pytest.approx(explorer.image(2).score)
    for sets, found in zip(view.controls, view.control_maps, strict=True):
        assert {p: len(c) for p, c in sets.items()} == {"a": 2, "b": 1}
        np.testing.assert_allclose(found, reduced(data, sets)[2], rtol=1e-4, atol=1e-6)


def test_random_sets_are_uniform_over_the_selection(world):
    explorer = Explorer(world(n_each=1), n_controls=2000)
    sets = explorer.controls({POINT: (0, 1)})
    drawn = np.bincount([c for s in sets for c in s[POINT]], minlength=16)
    assert set(np.flatnonzero(drawn)) == set(explorer.neurons()["channel"])
    expected = 2000 * 2 / 8
    assert np.abs(drawn[drawn > 0] - expected).max() < 5 * np.sqrt(expected)
    assert sets[:5] == Explorer(world(n_each=1), n_controls=5).controls({POINT: (2, 3)})


def test_metrics_are_those_of_a_refit_beside_random_sets(world):
    data = world()
    explorer = Explorer(data)
    table = explorer.measure({POINT: SIGNAL}).set_index("metric")
    evaluator = data.evaluator()
    expected = evaluator.measure(reduced(data, {POINT: SIGNAL})).values
    assert table.loc["auroc", "value"] == pytest.approx(expected["image", "auroc"])
    assert table.loc["aupro", "value"] == pytest.approx(expected["pixel", "aupro"])
    members = [
        evaluator.measure(reduced(data, s)).values["pixel", "aupro"]
        for s in explorer.controls({POINT: SIGNAL})
    ]
    row = table.loc["aupro"]
    assert row["control_mean"] == pytest.approx(np.mean(members))
    assert (row["control_min"], row["control_max"]) == pytest.approx((min(members), max(members)))
    # The planted neurons carry the defect, random ones do not.
    assert row["difference"] < 0 and row["difference_high"] < 0
    assert row["difference"] == pytest.approx(row["value"] - row["control_mean"])


def test_with_nothing_off_there_is_nothing_to_compare(world):
    table = Explorer(world()).measure({})
    assert table["intact"].tolist() == table["value"].tolist()
    assert "control_mean" not in table


def test_missing_masks_are_said(world):
    table = Explorer(world(masks=False)).measure({POINT: (0,)}).set_index("metric")
    assert table.loc["aupro", "reason"] == "there are no masks"
    assert np.isnan(table.loc["aupro", "value"])


def test_measuring_stops_when_told(world):
    with pytest.raises(Stopped):
        Explorer(world()).measure({POINT: (0,)}, go_on=lambda: False)


# --- neurons ---


def test_neurons_fire_where_they_were_planted(world):
    explorer = Explorer(
        [world(), world(category="disc", seed=1), world(category="x", points=("b",))]
    )
    view = explorer.neuron(POINT, 0)
    table = view.categories.set_index("category")
    assert table.index.tolist() == ["plate", "disc"]
    assert view.notes == [f"x was captured without {POINT}"]
    assert (table["fired_anomalous"] > 0.05).all() and (table["fired_normal"] < 0.02).all()
    assert (table["all_anomalous"] < table["fired_anomalous"]).all()
    quiet = explorer.neuron(POINT, 15).categories
    assert (quiet["fired_anomalous"] < 0.02).all()
    assert not quiet["selected"].any() and (quiet["rank"] == 0).all()


def test_firing_shares_and_examples_by_hand(world):
    data = world()
    view = Explorer(data).neuron(POINT, 3, n_examples=4)
    normal = data.normal.patches(POINT)[:, :, 3].double()
    z = (data.test.patches(POINT)[:, :, 3].double() - normal.mean()) / normal.std(correction=0)
    row = view.categories.iloc[0]
    assert row["fired_normal"] == pytest.approx(float((z[:8].abs() > 3).double().mean()))
    assert row["fired_anomalous"] == pytest.approx(float((z[8:].abs() > 3).double().mean()))
    best = z.abs().max(1).values
    order = torch.argsort(-best, stable=True)[:4]
    examples = view.examples["plate"]
    assert [place.image for place, _, _ in examples] == order.tolist()
    for place, value, deviations in examples:
        patch = place.row * 8 + place.column
        assert value == pytest.approx(float(data.test.patches(POINT)[place.image, patch, 3]))
        assert deviations == pytest.approx(float(z[place.image, patch]), rel=1e-4)


# --- what cannot be asked ---


def test_bad_questions_are_refused(world):
    explorer = Explorer(world(n_each=1))
    eight = explorer.neurons()["channel"].tolist()
    with pytest.raises(DataError, match="2 test images, counted from 0; there is no image 2"):
        explorer.image(2)
    with pytest.raises(DataError, match=r"6 x 8 patches.*no patch \(6, 0\)"):
        explorer.patch(0, 6, 0)
    with pytest.raises(SelectionError, match="channel 15 is not among the selected"):
        explorer.knock_out({POINT: [15]}, 0)
    with pytest.raises(SelectionError, match="leave at least one on"):
        explorer.knock_out({POINT: eight}, 0)
    with pytest.raises(SelectionError, match="no neurons are selected at 'nowhere'"):
        explorer.knock_out({"nowhere": [1]}, 0)
    with pytest.raises(SelectionError, match="there is no channel 16"):
        explorer.neuron(POINT, 16)
    with pytest.raises(SelectionError, match="no category was captured at 'nowhere'"):
        explorer.neuron("nowhere", 0)
    with pytest.raises(DataError, match="no category 'plat'; nearest: plate"):
        explorer.image(0, "plat")


def test_explorers_that_cannot_be(world):
    with pytest.raises(DataError, match="no category to explore"):
        Explorer([])
    with pytest.raises(DataError, match="same name"):
        Explorer([world(n_each=1), world(n_each=1)])
    with pytest.raises(ConfigError, match="need a control"):
        Explorer(world(n_each=1), n_controls=0)
    with pytest.raises(SelectionError, match="a subspace, and shares are shown of neurons"):
        Explorer(world(n_each=1, selector="pca"))


def test_a_neuron_with_a_dossier_says_what_it_says(world):
    plate, disc = world(), world(category="disc", seed=1)
    made = dossier(plate, k=3, n_random=2, crops=False, bootstrap=Bootstrap(n_resamples=20))
    explorer = Explorer([plate, disc], dossiers=made)
    own = int(made.neurons["channel"].iloc[0])
    view = explorer.neuron(POINT, own)
    assert dict(view.dossier) == {"plate": made.sentences("plate", POINT, own)}
    assert "Rank 1 of 16 by variance; selected" in " ".join(view.dossier["plate"])
    other = next(c for c in range(16) if c not in set(made.neurons["channel"]))
    assert dict(explorer.neuron(POINT, other).dossier) == {}
    assert dict(Explorer([plate, disc]).neuron(POINT, own).dossier) == {}
