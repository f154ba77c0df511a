"""Neurons that a user names stand where a selector does, with controls of the same size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lakeviz.errors import ConfigError, SelectionError
from lakeviz.lake import Lake, LakeOptions
from lakeviz.lake.provenance import as_plain
from lakeviz.lake.selectors import SELECTORS, get_selector, name_of, neurons_named, select
from lakeviz.selector_names import SELECTOR_NAMES, selector_name, selector_short

A, B = "blocks.0.hook_resid_post", "blocks.1.hook_resid_post"


def noise(n: int) -> torch.Tensor:
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def fitted(model, **options) -> Lake:
    controls = options.pop("controls", ())
    return Lake(model, text_weight=0, **options).fit(noise(3), controls=controls, preprocessed=True)


def test_the_top_neurons_by_name_are_lake_itself(tiny_model) -> None:
    model = tiny_model("clip")
    top = fitted(model, k=5, layers=[0, 1])
    named = {p: s.channels.tolist() for p, s in top.visual.selections.items()}
    controls = (("random", 3), ("all", 0))
    own = fitted(model, neurons={0: named[A], B: named[B]}, controls=controls)
    assert (own.points, own.options.k, own.options.selection_scope) == ((A, B), 5, "layer")
    np.testing.assert_array_equal(
        own.score(noise(4), preprocessed=True).patch, top.score(noise(4), preprocessed=True).patch
    )
    random = fitted(model, k=5, layers=[0, 1], controls=controls)
    for point in (A, B):
        found, expected = (one.branches["random#3"].selections[point] for one in (own, random))
        np.testing.assert_array_equal(found.channels, expected.channels)


def test_unequal_numbers_have_joint_controls_of_the_same_total(tiny_model) -> None:
    own = fitted(tiny_model("clip"), neurons={A: [3, 1], B: [7]}, controls=(("random", 0),))
    chosen = own.visual.selections
    assert {p: s.channels.tolist() for p, s in chosen.items()} == {A: [3, 1], B: [7]}
    assert sum(s.k for s in own.branches["random#0"].selections.values()) == 3


def test_names_hold_the_neurons_and_are_read_back(tiny_model, tmp_path) -> None:
    neurons = {A: (3, 17, 4), B: (7,)}
    name = name_of(neurons)
    assert name == f"neurons:{A}=3,17,4;{B}=7"
    assert neurons_named(name) == neurons
    assert get_selector(name).neurons == neurons
    assert neurons_named("variance") is None
    assert selector_name(name) == "neurons 3, 17, 4, 7"
    assert selector_short(name_of({A: range(20)})) == "20 named"
    options = LakeOptions(selector=neurons)
    assert LakeOptions.from_plain(as_plain(options)) == options
    model = tiny_model("clip")
    lake = fitted(model, neurons=neurons)
    lake.save(tmp_path)
    back = Lake.load(tmp_path, model).visual.selections
    assert {p: tuple(s.channels.tolist()) for p, s in back.items()} == neurons


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"neurons": {}}, SelectionError, "no neuron was named"),
        ({"neurons": [1, 2]}, SelectionError, r"\[1, 2\]; give"),
        ({"neurons": {A: 3}}, SelectionError, "3}; give"),
        ({"neurons": {A: "12"}}, SelectionError, "'12'}; give"),
        ({"neurons": {A: []}}, SelectionError, "one or more"),
        ({"neurons": {A: [1, 1]}}, SelectionError, "different channel numbers"),
        ({"neurons": {A: [-1]}}, SelectionError, "from 0"),
        ({"neurons": {A: [1.5]}}, SelectionError, "1.5"),
        ({"neurons": {A: [32]}}, SelectionError, "neurons 0 to 31, not 32"),
        ({"neurons": {"blocks.99.hook": [1]}}, Exception, "blocks.99.hook"),
        ({"neurons": {A: [1]}, "k": 2}, ConfigError, "leave k out"),
        ({"neurons": {A: [1]}, "layers": (B,)}, ConfigError, "leave layers out"),
        ({"neurons": {A: [1]}, "selector": "random"}, ConfigError, "one of them"),
        ({"selector": "neurons:x"}, SelectionError, "cannot read the neurons"),
        ({"selector": lambda s, k, g: None}, SelectionError, "def"),
    ],
)
def test_refused(tiny_model, options, error, said: str) -> None:
    with pytest.raises(error, match=said):
        Lake(tiny_model("clip"), **options)


@pytest.mark.parametrize(("model", "said"), [("tiny", "'tiny'"), (object(), "object")])
def test_a_detector_needs_a_loaded_model(model, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"the model is {said}; give what load_model"):
        Lake(model)


@pytest.mark.parametrize("controls", ["random", ["random"], [("random",)]])
def test_a_control_is_a_name_with_a_seed(tiny_model, controls) -> None:
    with pytest.raises(ConfigError, match=r"give pairs such as \('random', 0\)"):
        fitted(tiny_model("clip"), controls=controls)


def test_a_dropped_neuron_cannot_be_named(tiny_model) -> None:
    with pytest.raises(SelectionError, match="drop_channels drops it"):
        fitted(tiny_model("clip"), neurons={A: [3]}, drop_channels=(3,))


def test_a_function_is_a_selector(tiny_model) -> None:
    def own_choice(statistics, k, generator):
        return select(statistics, k, "bottom_variance")

    try:
        found = fitted(tiny_model("clip"), k=4, layers=[0], selector=own_choice)
        expected = fitted(tiny_model("clip"), k=4, layers=[0], selector="bottom_variance")
        np.testing.assert_array_equal(
            found.visual.selections[A].channels, expected.visual.selections[A].channels
        )
        assert found.options.selector == "own_choice"

        def own_choice(statistics, k, generator):  # a cell that is run again
            return select(statistics, k, "variance")

        assert LakeOptions(selector=own_choice).selector == "own_choice"
        assert get_selector("own_choice").select is own_choice
        own_choice.__name__ = "variance"
        with pytest.raises(SelectionError, match="already registered"):
            LakeOptions(selector=own_choice)
    finally:
        SELECTORS.pop("own_choice", None)
        SELECTOR_NAMES.pop("own_choice", None)
