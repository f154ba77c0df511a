"""Patches kept while streaming: batches and their order change nothing; correlations and shares."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import POINT, World

from lakeviz.metrics import Bootstrap
from lakeviz.studies.dossier import dossier, stream
from lakeviz.studies.dossier.correlated_neurons import Products
from lakeviz.studies.dossier.stream import PatchesAtRandom, TopPatches, all_channels
from lakeviz.studies.neurons import tested_neurons as passes
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.neurons.tested_neurons import choose

FEW = Bootstrap(n_resamples=60)


@st.composite
def batched_values(draw):
    """Values with many ties, and a way to cut them into batches in any order."""
    n, neurons = draw(st.integers(1, 40)), draw(st.integers(1, 3))
    cells = st.lists(st.integers(-4, 0), min_size=n * neurons, max_size=n * neurons)
    values = np.array(draw(cells), dtype=float).reshape(n, neurons)
    order = np.array(draw(st.permutations(range(n))))
    cuts = sorted(draw(st.sets(st.integers(1, n), max_size=5)))
    return values, [part for part in np.split(order, cuts) if len(part)]


@given(batched_values(), st.integers(1, 50), st.booleans())
@settings(max_examples=120, deadline=None)
def test_batches_and_their_order_do_not_change_the_highest(batched, k, largest):
    values, batches = batched
    top = TopPatches(k, largest=largest)
    for batch in batches:
        top.update(batch, values[batch], 2 * values[batch])
    for neuron, column in enumerate(values.T):
        signed = -column if largest else column
        wanted = sorted(range(len(column)), key=lambda i: (signed[i], i))[:k]
        assert top.patch[neuron].tolist() == wanted
        assert np.array_equal(top.value[neuron], column[wanted])
        assert np.array_equal(top.share[neuron], 2 * column[wanted])


@given(batched_values(), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_batches_and_their_order_do_not_change_the_sample(batched, size):
    values, batches = batched
    sample = PatchesAtRandom(size, seed=3)
    for batch in batches:
        sample.update(batch, values[batch], 2 * values[batch])
    whole = PatchesAtRandom(size, seed=3)
    whole.update(np.arange(len(values)), values, 2 * values)
    assert np.array_equal(sample.patch, whole.patch)
    assert np.array_equal(sample.value, values[whole.patch])
    assert np.array_equal(sample.share, 2 * values[whole.patch])
    assert len(sample.patch) == min(size, len(values))
    lowest = sample.value[sample.at(0.0), np.arange(values.shape[1])]
    assert np.array_equal(lowest, sample.value.min(axis=0))


def test_the_sample_is_uniform():
    counts = np.zeros(50)
    for seed in range(400):
        sample = PatchesAtRandom(10, seed)
        sample.update(np.arange(50), np.zeros((50, 1)), np.zeros((50, 1)))
        counts[sample.patch] += 1
    # 400 draws of 10 in 50: each patch about 80 times, with a standard deviation of 8.
    assert abs(counts - 80).max() < 4.5 * 8


def test_correlation_is_numpys_whatever_the_order_of_images():
    generator = np.random.default_rng(0)
    mixed = generator.standard_normal((30, 9, 4)) @ generator.standard_normal((4, 4)) + 100
    tokens = torch.from_numpy(mixed)
    wanted = np.corrcoef(tokens.reshape(-1, 4).T.numpy())
    for order in (np.arange(30), generator.permutation(30)):
        products = Products(np.array([2, 0]), torch.full((4,), 90.0, dtype=torch.float64))
        for part in np.array_split(order, 4):
            products.update(tokens[torch.from_numpy(part)], part)
        for place, own in enumerate((2, 0)):
            for partner in range(4):
                found, _ = products.estimate(place, partner, 0.95)
                assert found.value == pytest.approx(wanted[own, partner], abs=1e-9)
                assert found.low <= found.value <= found.high


def test_a_constant_channel_has_no_correlation_but_a_reason():
    tokens = torch.ones(6, 4, 2).double()
    tokens[..., 0] = torch.arange(24).reshape(6, 4)
    products = Products(np.array([0]), torch.zeros(2).double())
    products.update(tokens, np.arange(6))
    found, reason = products.estimate(0, 1, 0.95)
    assert np.isnan(found.value)
    assert "does not vary" in reason


def test_an_always_negative_neuron_has_its_highest_patches():
    data = World(mean=-50.0, shift=0.0).data(k=3)
    found = dossier(data, bootstrap=FEW, n_top=5)
    values = data.test.patches(POINT).numpy()
    assert (values < 0).all()
    for channel in found.neurons["channel"]:
        tables = found.of("category", POINT, int(channel))
        patches = tables["patches"]
        top = patches[patches["kind"] == "top"]["value"].to_numpy()
        flat = values[..., int(channel)].ravel()
        assert np.allclose(top, np.sort(flat)[::-1][:5])
        spread = patches[patches["kind"] == "spread"].set_index("quantile")["value"]
        assert spread[0.0] == pytest.approx(flat.min())
        # The set is smaller than the sample, so that quantiles are those of all patches.
        assert spread[0.5] == pytest.approx(np.quantile(flat, 0.5, method="nearest"), abs=0.01)


def test_more_patches_than_there_are_keeps_all():
    data = World(n_normal=2, n_anomalous=2).data(k=2)
    found = dossier(data, bootstrap=FEW, n_top=1000)
    one = found.of("category", POINT, int(found.neurons["channel"].iloc[0]))["patches"]
    assert (one["kind"] == "top").sum() == 4 * 16


def test_shares_are_those_of_the_distance_by_hand():
    data = World(shift=3.0, seed=2).data(k=4)
    found = dossier(data, bootstrap=FEW, n_random=12)
    test, normal = data.test.patches(POINT).double(), data.normal.patches(POINT).double()
    flat, gallery = test.flatten(0, 1), normal.flatten(0, 1)
    nearest = torch.cdist(flat, gallery).argmin(1)
    square = (flat - gallery[nearest]).square()
    share = (square / square.sum(1, keepdim=True)).reshape(*test.shape).numpy()
    is_normal = data.truth.labels == 0
    shares = found.shares[found.shares["measure"] == "share_normal"].set_index("channel")
    for channel in range(16):
        by_hand = share[is_normal][..., channel].mean()
        assert shares.loc[channel, "value"] == pytest.approx(by_hand, rel=1e-4)
    # All 16 channels have a dossier here, and their shares sum to one.
    assert shares["value"].sum() == pytest.approx(1, rel=1e-5)
    patch = found.patches.iloc[0]
    place = patch["row"] * 4 + patch["column"]
    assert patch["share"] == pytest.approx(share[patch["image"], place, patch["channel"]], rel=1e-4)


def test_the_gallery_holds_every_channel():
    data = World().data(k=2)
    assert all_channels(data)[POINT].channels.tolist() == list(range(16))


def test_activations_read_again_give_the_same_numbers(monkeypatch):
    data = World(shift=2.0).data(k=3)
    held = dossier(data, n_random=4, bootstrap=FEW)
    # Room for two neurons at a time in the second reading, and for none in the first.
    room = 2 * len(data.test) * 16
    monkeypatch.setattr(stream, "HELD_VALUES", room)
    monkeypatch.setattr(passes, "HELD_VALUES", room)
    found = stream.scan(data, *_chosen(data), n_top=3, seed=0)[POINT]
    assert found.held is None
    again = dossier(data, n_random=4, bootstrap=FEW)
    for name, table in held.tables.items():
        pd.testing.assert_frame_equal(again.tables[name], table)
    assert np.isfinite(held.activations["value"]).all()


def _chosen(data):
    choices = choose(data, 3, "variance", 4, 0)
    return choices, {p: PatchTruth.of(data.truth, data.grids[p]) for p in data.points}
