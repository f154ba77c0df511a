"""Interventions on pairs: identities, hand-made hooks, a planted circuit, and the edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from lakeviz.data import read_dataset
from lakeviz.data.inpainting import inpaint
from lakeviz.data.synthetic import render_sample, write_benchmark
from lakeviz.data.synthetic.benchmark import render_pair, twin_of
from lakeviz.errors import ConfigError, DataError, SelectionError
from lakeviz.lake import LakeOptions, NeuronSelection
from lakeviz.metrics import Bootstrap
from lakeviz.studies import capture_study, load_study, patching
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.patching.attribution import gradient_attribution, integrated_attribution
from lakeviz.studies.patching.pairs import make_pairs
from lakeviz.studies.patching.words import (
    CLASS,
    DEFECT,
    DEFECTS,
    DENOISING,
    DIRECTIONS,
    EVERY,
    IMAGE,
    NOISING,
    TEXT,
)

POINT = "blocks.0.hook_resid_post"
FEW = Bootstrap(n_resamples=50)
SMALL = dict(n_pairs=4, n_random_sets=2, n_checked=3, integrated_steps=2, bootstrap=FEW)


# --- twins ---


def test_a_twin_differs_in_the_defect_alone(tmp_path) -> None:
    defect, twin = render_pair("wood", 20, "hole", size=48)
    changed = (defect.image != twin.image).any(-1)
    assert changed.any()
    assert not (changed & ~defect.mask).any()
    np.testing.assert_array_equal(twin.image, render_sample("wood", "test", 20, size=48).image)
    write_benchmark(tmp_path, categories=("wood",), size=48, n_train=1, n_good=1, n_per_defect=1)
    path = sorted((tmp_path / "wood/test").glob("hole/*.png"))[0]
    image = np.asarray(Image.open(path))
    expected = render_sample("wood", "test", int(path.stem), size=48).image
    np.testing.assert_array_equal(twin_of(path, image), expected)
    other = image.copy()
    other[0, 0] ^= 1
    assert twin_of(path, other) is None
    assert twin_of(tmp_path / "x.png", image) is None


def test_inpainting_takes_the_most_similar_image_inside_the_mask_alone() -> None:
    random = np.random.default_rng(0)
    image = random.integers(0, 100, (64, 64, 3), dtype=np.uint8)
    near, far = image.copy(), np.full_like(image, 250)
    mask = np.zeros((64, 64), dtype=bool)
    mask[20:30, 20:30] = True
    broken = image.copy()
    broken[mask] = 255
    made = inpaint(broken, mask, [Image.fromarray(far), Image.fromarray(near)])
    np.testing.assert_array_equal(made, near)


# --- identities ---


@pytest.mark.parametrize("kind", ["clip", "timm"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_everything_exchanged_is_the_other_side(interchange, kind: str, direction: str) -> None:
    made = interchange(kind)
    defect, twin = made.intact
    expected = twin if direction == DENOISING else defect
    for point in (POINT, "blocks.1.hook_resid_pre"):
        found = made.run(point, made.exchanged(point, direction), direction)
        for readout, values in expected.items():
            np.testing.assert_allclose(found[readout], values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("point", [POINT, "blocks.0.mlp.hook_post", "blocks.1.hook_attn_out"])
def test_nothing_exchanged_is_the_same_side(interchange, point: str) -> None:
    made = interchange()
    for direction, expected in zip(DIRECTIONS, made.intact, strict=True):
        tokens = made.sides(point)[0 if direction == DENOISING else 1]
        found = made.run(point, tokens, direction)
        for readout, values in expected.items():
            np.testing.assert_allclose(found[readout], values, rtol=1e-4, atol=1e-6)


def test_exchange_equals_a_hook_on_the_bare_model(interchange) -> None:
    made = interchange("timm")
    blocks, is_defect = made.model.module.blocks, made.pairs.is_defect
    unit = NeuronSelection(POINT, np.array([3, 11]), np.zeros(2), 32, "own")
    kept = {}

    def run(images, edit=None):
        handles = []
        if edit is not None:
            handles.append(blocks[0].register_forward_hook(edit))
        handles.append(
            blocks[1].register_forward_hook(lambda m, i, o: kept.__setitem__("out", o.detach()))
        )
        with torch.no_grad():
            made.model.module(images)
        for handle in handles:
            handle.remove()
        return kept["out"][:, -is_defect.shape[1] :]

    twin = {}
    with torch.no_grad():
        handle = blocks[0].register_forward_hook(lambda m, i, o: twin.__setitem__("out", o))
        made.model.module(made.pairs.twins)
        handle.remove()

    def exchange(module, inputs, output):
        edited = output.clone()
        prefix = output.shape[1] - is_defect.shape[1]
        for pair, patch in is_defect.nonzero().tolist():
            for channel in (3, 11):
                edited[pair, prefix + patch, channel] = twin["out"][pair, prefix + patch, channel]
        return edited

    patches = {"blocks.1.hook_resid_post": run(made.pairs.defects, exchange)}
    expected = made.readouts.read(patches, None, is_defect)
    found = made.run(POINT, made.exchanged(POINT, DENOISING, DEFECTS, unit))
    for readout in (IMAGE, DEFECT):
        np.testing.assert_allclose(found[readout], expected[readout], rtol=1e-4, atol=1e-6)


def test_groups_part_the_tokens(interchange) -> None:
    made = interchange()
    parts = [made.group(name, POINT) for name in (DEFECTS, "other patches", CLASS)]
    assert torch.equal(torch.stack(parts).sum(0), torch.ones_like(parts[0], dtype=torch.long))
    assert made.group(EVERY, POINT).all()
    assert made.reaches("blocks.2.hook_resid_post", DEFECT)
    assert not made.reaches("blocks.2.hook_resid_post", TEXT)


@pytest.mark.parametrize("kind", ["clip", "timm"])
@pytest.mark.parametrize(
    "point", ["blocks.1.mlp.hook_post", "blocks.1.hook_attn_out", "blocks.1.attn.hook_z"]
)
def test_a_point_within_a_block_resumes_to_the_bit(interchange, monkeypatch, kind, point) -> None:
    made = interchange(kind)
    tokens = made.exchanged(point, DENOISING, DEFECTS)
    monkeypatch.setattr(type(made), "start", lambda *_: None)
    from_the_start = made.run(point, tokens)
    monkeypatch.undo()
    with monkeypatch.context() as patch:
        patch.setattr(type(made.tower), "run_with_hooks", None)  # not called
        resumed = made.run(point, tokens)
    for readout, values in from_the_start.items():
        assert np.abs(values - made.intact[0][readout]).max() > 0
        np.testing.assert_array_equal(resumed[readout], values)


def test_captures_resume_to_the_bit(interchange) -> None:
    deep = "blocks.1.mlp.hook_post"
    made, other = interchange(), interchange()
    made.hold(POINT)
    for resumed, whole in zip(made.sides(deep), other.sides(deep), strict=True):
        assert torch.equal(resumed, whole)
    made.hold("blocks.1.hook_resid_pre")
    made.hold(deep)
    assert list(made._held) == ["blocks.1.hook_resid_pre", deep]


def test_the_score_of_the_defect_patches_can_be_read_alone(interchange) -> None:
    made = interchange()
    tokens = made.exchanged(POINT, DENOISING, DEFECTS)
    whole, alone = made.run(POINT, tokens), made.run(POINT, tokens, defects_alone=True)
    assert list(alone) == [DEFECT]
    np.testing.assert_allclose(alone[DEFECT], whole[DEFECT], rtol=1e-5)


# --- gradients ---


def test_the_score_with_a_gradient_is_the_score(interchange) -> None:
    made = interchange()
    tokens = made.sides("blocks.1.hook_resid_post")[0]
    patches = {"blocks.1.hook_resid_post": tokens[:, -16:]}
    found = made.readouts.defect_score(patches, made.pairs.is_defect).numpy()
    np.testing.assert_allclose(found, made.intact[0][DEFECT][0], rtol=1e-4)


def test_gradient_attribution_is_the_slope_of_small_exchanges(interchange) -> None:
    made = interchange()
    found = gradient_attribution(made, [POINT])[POINT]
    defect, twin = made.sides(POINT)
    chosen = made.group(DEFECTS, POINT)
    for channel in (0, 5):
        step = 1e-2
        edited = defect.clone()
        edited[..., channel] += torch.where(chosen, step * (twin - defect)[..., channel], 0.0)
        moved = made.intact[0][DEFECT] - made.run(POINT, edited)[DEFECT]
        np.testing.assert_allclose(found[:, channel].numpy(), moved[0] / step, rtol=0.15, atol=2e-4)


def test_integrated_gradients_add_up_to_the_exchange(interchange) -> None:
    made = interchange()
    total = integrated_attribution(made, POINT, 32).sum(1).numpy()
    exchanged = made.run(POINT, made.exchanged(POINT, DENOISING, DEFECTS))
    moved = (made.intact[0][DEFECT] - exchanged[DEFECT])[0]
    np.testing.assert_allclose(total, moved, rtol=0.1, atol=2e-3)


# --- a planted circuit ---


@pytest.fixture
def planted(plant):
    """Channels 3 and 7 alone read red, which the defect changes; others vary more with green."""
    return plant()


def test_a_planted_circuit_is_found_by_exchange_and_not_by_variance(planted) -> None:
    data, point = planted
    found = patching(
        data,
        twins="inpainted",
        controls=("random", "neurons:blocks.0.hook_resid_pre=3,7", "twin_difference", "all"),
        heatmap=False,
        **SMALL,
    )
    own = found.effects.query("readout == 'defect patches'").set_index(["direction", "units"])
    for direction in DIRECTIONS:
        shares = own["share"][direction]
        assert shares["neurons:blocks.0.hook_resid_pre=3,7"] == pytest.approx(1, abs=1e-4)
        assert shares["twin_difference"] == pytest.approx(1, abs=1e-4)
        assert shares["variance"] == pytest.approx(0, abs=1e-4)
    strongest = found.attribution[found.attribution["point"] == point].nlargest(2, "gradient")[
        "channel"
    ]
    assert set(strongest) == {3, 7}
    shared = found.overlap.set_index(["first", "second"])
    for other in ("twin_difference", "attribution"):
        assert shared.loc[("probe", other), "shared"] == 2
        assert shared.loc[("probe", other), "excess"] == pytest.approx(1)
        assert shared.loc[("probe", other), "p_value"] == pytest.approx(2 / (32 * 31))
        assert shared.loc[("variance", other), "shared"] == 0
    assert shared["expected"].unique() == 4 / 32


# --- the study ---


def test_study_on_draws_is_stored_and_drawn(tiny_model, tile, tmp_path) -> None:
    model = tiny_model("clip")
    options = LakeOptions(k=4, layers=(1,), map_size=(16, 16))
    data = [
        capture_study(model, draw, tile, options=options)
        for draw in tile.few_shot_draws(2, draws=2)
    ]
    found = patching(data, doses=(1.0,), **SMALL)
    pairs = found.pairs
    assert set(pairs["twin"]) == {"rendered"}
    everything = found.effects.query("units == 'all' and readout == 'defect patches'")
    np.testing.assert_allclose(everything["share"], 1, rtol=1e-4)
    assert set(found.effects["n_draws"]) == {2}
    behind = found.heatmap.query("point == 'blocks.2.hook_resid_post' and readout == 'image score'")
    assert behind["share"].isna().all()
    assert behind["reason"].str.contains("lies behind").all()
    every = found.heatmap.query("point == @POINT and tokens == 'all tokens'")
    every = every.query("readout == 'defect patches'")
    np.testing.assert_allclose(every["share"], 1, rtol=1e-3)
    assert found.summary().startswith("Denoising by top-variance neurons (4 of 32) moves")
    assert "pairs" in next(iter(found.findings())).sentence()
    assert len(found.figures()) == 6
    kept = found.curves.query("units == 'twin_difference'").pivot_table(
        index="size", columns="measure", values="share"
    )
    assert kept.index[0] == 1
    assert (found.areas.query("units == 'random'")["difference"].isna()).all()
    assert found.concentration["gini"].between(0, 1).all()
    assert found.concentration["participation"].between(1 / 128, 1).all()
    found.to_parquet(tmp_path)
    back = load_study(tmp_path)
    assert back.summary() == found.summary()
    half = [found.effects.query("units == 'random'")["difference"].notna().any()]
    assert half == [True]


def test_the_planted_circuit_is_concentrated(planted) -> None:
    data, _ = planted
    found = patching(
        data,
        twins="inpainted",
        controls=("all",),
        heatmap=False,
        attribution=False,
        doses=(),
        **SMALL,
    )
    own = found.curves.set_index(["units", "measure", "size"])["share"]
    for measure in ("faithfulness", "completeness"):
        sizes = own["twin_difference", measure].index
        assert own["twin_difference", measure][sizes >= 2].to_numpy() == pytest.approx(1, abs=1e-3)
        assert own["variance", measure].iloc[0] == pytest.approx(0, abs=1e-3)
    areas = found.areas.set_index(["units", "measure"])
    assert areas.loc[("twin_difference", "faithfulness"), "difference"] > 0


def test_evenness_of_effects_by_hand() -> None:
    from lakeviz.studies.patching.concentration import concentration_rows

    def rows(*effects: float) -> dict:
        made = [{"point": "p", "gradient": e, "n_pairs": 3} for e in effects]
        return next(iter(concentration_rows(made)))

    equal, one = rows(2, -2, 2, 2), rows(0, 0, 5, 0)
    assert (equal["gini"], equal["participation"]) == (0, 1)
    assert (one["gini"], one["participation"]) == (0.75, 0.25)
    assert np.isnan(rows(0, 0)["gini"])


def test_halves_of_the_pairs_do_not_choose_for_themselves(interchange) -> None:
    from lakeviz.activations import stream_statistics
    from lakeviz.studies.patching.result import Settings
    from lakeviz.studies.patching.unit_sets import UnitSets

    made = interchange(n_pairs=6)
    statistics = stream_statistics(made.model, [Image.new("RGB", (32, 32))], [POINT])
    sets = UnitSets(made, POINT, [statistics[POINT]], Settings(n_pairs=6), 3)
    moved = sets.moved("twin_difference", NOISING)[DEFECT][0, 0]
    for own, other in (([0, 2, 4], [1, 3, 5]), ([1, 3, 5], [0, 2, 4])):
        units = sets.largest_difference(other)
        tokens = made.exchanged(POINT, NOISING, EVERY, units)
        expected = made.run(POINT, tokens, NOISING)[DEFECT] - made.intact[1][DEFECT]
        np.testing.assert_allclose(moved[own], expected[0][own], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"point": "blocks.9.hook_resid_post"}, Exception, "blocks.9"),
        ({"controls": ("variance",)}, SelectionError, "no control of itself"),
        ({"controls": ("varance",)}, SelectionError, "nearest"),
        ({"twins": "painted"}, ConfigError, "auto, rendered, inpainted"),
        ({"n_pairs": 2}, ConfigError, "at least 3"),
        ({"directions": ()}, ConfigError, "empty"),
    ],
)
def test_bad_settings(captured, tiny_model, settings, error, said: str) -> None:
    with pytest.raises(error, match=said):
        patching(captured(tiny_model("clip"), [1]), **settings)


def test_bad_data(captured, tiny_model, tile, tmp_path) -> None:
    data = captured(tiny_model("timm"), [1])
    with pytest.raises(ConfigError, match="lies behind"):
        patching(data, point="blocks.2.hook_resid_post")
    with pytest.raises(ConfigError, match="capture_study"):
        patching(replace(data, model=None))
    with pytest.raises(DataError, match="no anomalous image with a mask"):
        bare = replace(tile, frame=tile.frame.assign(mask_path=None))
        patching(capture_study(data.model, tile.few_shot(2), bare, options=LakeOptions(k=4)))
    other = Image.new("RGB", (32, 32))
    with pytest.raises(ConfigError, match="no picture of the synthetic benchmark"):
        path = tmp_path / "a.png"
        other.save(path)
        frame = tile.evaluated().frame.assign(path=str(path))
        patching(replace(data, dataset=replace(tile, frame=frame)), twins="rendered")


def test_defect_patches_are_those_that_the_tower_sees(tiny_model, tmp_path) -> None:
    """Under crop a 32 x 64 image is seen in its middle: columns 16 to 47."""
    for name, box in (("train/good", None), ("test/good", None), ("test/bad", (0, 40))):
        for i in range(3):
            folder = tmp_path / "thing" / name
            folder.mkdir(parents=True, exist_ok=True)
            pixels = np.full((32, 64, 3), 90 + i, dtype=np.uint8)
            if box:
                column = box[0] if i == 0 else box[1]
                pixels[8:16, column : column + 8] = 255
                mask = np.zeros((32, 64), dtype=np.uint8)
                mask[8:16, column : column + 8] = 255
                masks = tmp_path / "thing/ground_truth/bad"
                masks.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(masks / f"{i:03d}_mask.png")
            Image.fromarray(pixels).save(folder / f"{i:03d}.png")
    model = tiny_model("timm")
    model.preprocess = replace(model.preprocess, aspect="crop")
    thing = read_dataset("mvtec", tmp_path)["thing"]
    options = LakeOptions(k=4, layers=(1,), map_size=None)
    data = capture_study(model, thing.few_shot(2), thing, options=options, full_size=True)
    truth = PatchTruth.of(data.truth, (4, 4), geometry=data.geometry, sizes=data.sizes)
    pairs = make_pairs(data.dataset, data.normal_paths, model.preprocess, truth.defect, n_pairs=9)
    assert pairs.names == ("thing/test/bad/001.png", "thing/test/bad/002.png")
    assert pairs.is_defect.nonzero().tolist() == [[0, 7], [1, 7]]  # row 1, column 3 of 4 x 4
    assert "1 anomalous images have no mask that the tower sees" in pairs.notes[0]
