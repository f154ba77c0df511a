"""The detector end to end on tiny random towers, with defects planted at known patches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from lakeviz.activations import ChannelStatistics, Loading, capture_activations
from lakeviz.data import Dataset, FewShotDraw
from lakeviz.errors import (
    ActivationError,
    ConfigError,
    DataError,
    NotFittedError,
    SelectionError,
    TextBranchError,
    UnknownHookPointError,
)
from lakeviz.lake import (
    Gallery,
    ImageScoreRule,
    Lake,
    LakeOptions,
    Normalisation,
    TextOptions,
    VisualOptions,
    detector,
    select,
)

PATCHES = [(0, 0), (1, 2), (3, 3), (2, 0)]
"""Where the defects are, in a grid of 4 x 4 patches of 8 x 8 pixels."""


def normal(n: int, seed: int = 0, size: int = 32) -> torch.Tensor:
    """One texture, a little noise."""
    texture = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(99))
    noise = torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(seed))
    return texture + 0.05 * noise


def anomalous() -> torch.Tensor:
    """Normal images with a bright patch each."""
    images = normal(len(PATCHES), seed=1)
    for image, (row, column) in zip(images, PATCHES, strict=True):
        image[:, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] += 4.0
    return images


def close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["clip", "timm"])
@pytest.mark.parametrize(
    "visual",
    [
        VisualOptions(),
        VisualOptions("euclidean", 2),
        VisualOptions(normalisation=Normalisation("zscore", "after"), coreset=0.5),
    ],
)
def test_finds_and_localises_planted_defects(tiny_model, kind: str, visual: VisualOptions) -> None:
    lake = Lake(tiny_model(kind), k=16, layers=[0, 1], text_weight=0, visual=visual)
    lake.fit(normal(4), preprocessed=True)
    good, bad = (
        lake.score(normal(4, seed=2), preprocessed=True),
        lake.score(anomalous(), preprocessed=True),
    )
    assert bad.image_scores.min() > good.image_scores.max()
    found = [np.unravel_index(m.argmax(), m.shape) for m in bad.patch]
    assert [tuple(map(int, place)) for place in found] == PATCHES


def test_one_normal_image_is_enough(tiny_model) -> None:
    lake = Lake(tiny_model("clip"), k=8, layers=[1], text_weight=0).fit(
        normal(1), preprocessed=True
    )
    assert lake.statistics["blocks.1.hook_resid_post"].count == 16
    assert lake.score(normal(1), preprocessed=True).patch.max() < 1e-6
    assert lake.score(anomalous(), preprocessed=True).image_scores.min() > 1e-4


def test_visual_map_equals_its_parts_put_together_by_hand(tiny_model) -> None:
    """Capture, select, restrict and search again, one step at a time."""
    model, points = tiny_model("timm"), ["blocks.0.hook_resid_post", "blocks.2.mlp.hook_post"]
    maps = (
        Lake(model, k=5, layers=points)
        .fit(normal(3), preprocessed=True)
        .score(anomalous(), preprocessed=True)
    )
    train, test = (
        capture_activations(model, i, points, preprocessed=True) for i in (normal(3), anomalous())
    )
    layers = []
    for point in points:
        tokens = train.read(point).flatten(0, 1)
        top = np.argsort(-ChannelStatistics(point).update(tokens).variance, kind="stable")[
            :5
        ].copy()
        distances = Gallery(tokens[:, top]).score(test.read(point)[..., top])
        layers.append(distances.reshape(-1, 4, 4).numpy())
        close(maps.parts[f"visual/{point}"], layers[-1])
    close(maps.parts["visual"], np.mean(layers, axis=0))
    close(maps.patch, maps.parts["visual"])
    close(maps.image_scores, np.mean(layers, axis=0).max((1, 2)))


def test_fusion_and_parts_kept_apart(tiny_model) -> None:
    model = tiny_model("clip")
    lake = Lake(model, k=8, layers=[0, 1], text_weight=0.4).fit(
        normal(2), class_name="nut", preprocessed=True
    )
    maps = lake.score(anomalous(), preprocessed=True)
    points = {f"visual/blocks.{b}.hook_resid_post" for b in (0, 1)}
    assert set(maps.parts) == {"visual", "text"} | points
    assert set(maps.image_parts) == set(maps.parts) | {"text_image"}
    close(maps.patch, 0.6 * maps.parts["visual"] + 0.4 * maps.parts["text"])
    close(maps.image_scores, maps.patch.max((1, 2)))
    close(maps.image_parts["text"], maps.parts["text"].max((1, 2)))
    branch = lake.text
    resid = capture_activations(model, anomalous(), branch.point, preprocessed=True).read(
        branch.point
    )
    close(maps.parts["text"].reshape(4, 16), branch.probability(model.project_patches(resid)))
    close(maps.image_parts["text_image"], branch.probability(model.encode_image(anomalous())))
    # The same with the visual branch alone.
    alone = (
        Lake(model, k=8, layers=[0, 1], text_weight=0)
        .fit(normal(2), preprocessed=True)
        .score(anomalous(), preprocessed=True)
    )
    close(alone.patch, maps.parts["visual"])
    assert "text" not in alone.parts


def test_text_weight_one_is_text_alone(tiny_model) -> None:
    maps = (
        Lake(tiny_model("clip"), k=8, layers=[1], text_weight=1)
        .fit(normal(1), preprocessed=True)
        .score(normal(2), preprocessed=True)
    )
    close(maps.patch, maps.parts["text"])


def test_value_value_attention_reaches_the_maps(tiny_model) -> None:
    model = tiny_model("clip")
    options = TextOptions(attention="value_value", value_blocks=3)
    lake = Lake(model, k=8, layers=[1], text=options).fit(normal(1), preprocessed=True)
    tokens = model.tower.value_value_tokens(anomalous(), 3)
    expected = lake.text.probability(model.project_patches(tokens))
    close(lake.score(anomalous(), preprocessed=True).parts["text"].reshape(4, 16), expected)


def test_image_score_rule(tiny_model) -> None:
    rule = ImageScoreRule("top_mean", 0.25)
    maps = (
        Lake(tiny_model("timm"), k=8, layers=[1], image_score=rule)
        .fit(normal(2), preprocessed=True)
        .score(anomalous(), preprocessed=True)
    )
    expected = np.sort(maps.patch.reshape(4, 16), axis=1)[:, -4:].mean(1)
    close(maps.image_scores, expected)


def test_order_and_batches_do_not_matter(tiny_model) -> None:
    model, order = tiny_model("clip"), [2, 0, 3, 1]
    lake = Lake(model, k=8, layers=[0, 1]).fit(normal(4), preprocessed=True)
    maps = lake.score(anomalous(), preprocessed=True)
    shuffled = Lake(model, k=8, layers=[0, 1]).fit(
        normal(4)[order], loading=Loading(batch_size=3), preprocessed=True
    )
    again = shuffled.score(anomalous()[order], loading=Loading(batch_size=1), preprocessed=True)
    for point, selection in lake.visual.selections.items():
        assert np.array_equal(selection.channels, shuffled.visual.selections[point].channels)
    close(again.patch, maps.patch[order])
    close(again.image_scores, maps.image_scores[order])


CONTROLS = [("random", 0), ("random", 1), ("bottom_variance", 0), ("all", 0), ("pca", 0)]


def test_controls_of_the_same_pass_equal_detectors_of_their_own(tiny_model) -> None:
    model = tiny_model("timm")
    lake = Lake(model, k=6, layers=[0, 2]).fit(normal(3), controls=CONTROLS, preprocessed=True)
    maps = lake.score(anomalous(), preprocessed=True)
    for selector, seed in CONTROLS:
        own = Lake(model, k=6, layers=[0, 2], selector=selector, seed=seed).fit(
            normal(3), preprocessed=True
        )
        close(
            maps.parts[f"control/{selector}#{seed}"],
            own.score(anomalous(), preprocessed=True).parts["visual"],
        )
    plain = (
        Lake(model, k=6, layers=[0, 2])
        .fit(normal(3), preprocessed=True)
        .score(anomalous(), preprocessed=True)
    )
    close(maps.patch, plain.patch)


def test_a_control_that_takes_every_channel_too_is_no_other_detector(tiny_model) -> None:
    model = tiny_model("timm")
    width = model.tower.points["blocks.0.hook_resid_post"].sizes[-1]
    every = Lake(model, k=width, layers=[0]).fit(normal(3), controls=CONTROLS, preprocessed=True)
    assert every.missing_controls == dict.fromkeys(
        ("random", "bottom_variance", "all"), "both take every channel, so they are one detector"
    )
    assert [name for name in every.branches if name != "lake"] == ["pca#0"]


def test_selectors_that_need_tokens_get_them(tiny_model) -> None:
    model = tiny_model("timm")
    lake = Lake(model, k=6, layers=[1], selector="mad").fit(
        normal(3), controls=[("trimmed_variance", 0)], preprocessed=True
    )
    point = lake.points[0]
    assert lake.statistics is not None
    expected = select(lake.statistics[point], 6, "mad")
    assert lake.visual.selections[point].channels.tolist() == expected.channels.tolist()
    assert len(lake.statistics[point].tokens) == lake.statistics[point].count
    without = Lake(model, k=6, layers=[1]).fit(normal(3), preprocessed=True)
    assert without.statistics is not None
    assert without.statistics[point].kept is None


def test_full_rotation_equals_all_channels(tiny_model) -> None:
    """A control that must change nothing: cosine distance does not see rotations."""
    model = tiny_model("timm")
    every = (
        Lake(model, selector="all", layers=[1])
        .fit(normal(2), preprocessed=True)
        .score(anomalous(), preprocessed=True)
    )
    rotated = Lake(model, k=32, selector="random_rotation", layers=[1]).fit(
        normal(2), preprocessed=True
    )
    np.testing.assert_allclose(
        rotated.score(anomalous(), preprocessed=True).patch, every.patch, rtol=1e-3, atol=1e-6
    )


def test_two_passes_equal_one(tiny_model, monkeypatch: pytest.MonkeyPatch) -> None:
    model, options = tiny_model("clip"), {"k": 8, "layers": [0, 1]}
    one = Lake(model, **options).fit(normal(5), loading=Loading(batch_size=2), preprocessed=True)
    monkeypatch.setattr(detector, "_KEEP_BYTES", 0)
    two = Lake(model, **options).fit(normal(5), loading=Loading(batch_size=2), preprocessed=True)
    for point, fitted in one.visual.points.items():
        assert torch.equal(fitted.gallery.tokens, two.visual.points[point].gallery.tokens)
    close(
        two.score(anomalous(), preprocessed=True).patch,
        one.score(anomalous(), preprocessed=True).patch,
    )
    assert two.normal_ids == one.normal_ids == [f"image {i}" for i in range(5)]


def test_coreset_keeps_a_share_and_never_scores_lower(tiny_model) -> None:
    model = tiny_model("clip")
    full = Lake(model, k=8, layers=[1], text_weight=0).fit(normal(4), preprocessed=True)
    thin = Lake(model, k=8, layers=[1], text_weight=0, visual=VisualOptions(coreset=0.25))
    thin.fit(normal(4), preprocessed=True)
    assert thin.visual.gallery_bytes * 4 == full.visual.gallery_bytes == 64 * 8 * 4
    assert (
        thin.score(anomalous(), preprocessed=True).patch
        >= full.score(anomalous(), preprocessed=True).patch - 1e-6
    ).all()


def test_stages_of_a_resnet_meet_on_the_finest_grid(tiny_model) -> None:
    model = tiny_model("resnet")
    points = ["layer1.0.hook_resid_post", "layer2.0.hook_resid_post"]
    lake = Lake(model, k=8, layers=points).fit(normal(2, size=64), preprocessed=True)
    assert lake.text_weight == 0  # its patch tokens have no place in the joint space
    maps = lake.score(normal(2, seed=5, size=64), preprocessed=True)
    assert maps.patch.shape == (2, 16, 16)
    coarse = Lake(model, k=8, layers=points[1:]).fit(normal(2, size=64), preprocessed=True)
    small = torch.from_numpy(coarse.score(normal(2, seed=5, size=64), preprocessed=True).patch)
    assert small.shape == (2, 8, 8)
    wide = torch.nn.functional.interpolate(small[:, None], size=(16, 16), mode="bilinear")[:, 0]
    close(maps.parts[f"visual/{points[1]}"], wide.numpy())


def test_blocks_after_the_deepest_layer_do_not_run_without_text(tiny_model) -> None:
    model, calls = tiny_model("clip"), []
    handle = model.tower.adapter.blocks[2].block.register_forward_hook(lambda *_: calls.append(1))
    try:
        Lake(model, k=8, layers=[1], text_weight=0).fit(normal(1), preprocessed=True).score(
            normal(1), preprocessed=True
        )
    finally:
        handle.remove()
    assert not calls


def test_half_precision_towers(tiny_model) -> None:
    exact = (
        Lake(tiny_model("clip"), k=8, layers=[1])
        .fit(normal(3), preprocessed=True)
        .score(anomalous(), preprocessed=True)
    )
    model = tiny_model("clip")
    model.module.to(torch.bfloat16)
    maps = (
        Lake(model, k=8, layers=[1])
        .fit(normal(3), preprocessed=True)
        .score(anomalous(), preprocessed=True)
    )
    assert maps.patch.dtype == np.float32
    np.testing.assert_allclose(maps.image_scores, exact.image_scores, rtol=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_cpu(tiny_model) -> None:
    model = tiny_model("clip")
    options = {"k": 8, "layers": [0, 1], "visual": VisualOptions(neighbours=2, coreset=0.5)}
    expected = (
        Lake(model, **options)
        .fit(normal(3), controls=CONTROLS, preprocessed=True)
        .score(anomalous(), preprocessed=True)
    )
    model.module.to("cuda")
    maps = (
        Lake(model, **options)
        .fit(normal(3), controls=CONTROLS, preprocessed=True)
        .score(anomalous(), preprocessed=True)
    )
    for part, values in expected.parts.items():
        np.testing.assert_allclose(maps.parts[part], values, rtol=1e-2, atol=1e-4)


# --- files, data sets, draws ---


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        pixels = np.random.default_rng(i).integers(0, 256, (12, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return paths


def dataset(files: list[Path], labels: list[int]) -> Dataset:
    frame = pd.DataFrame(
        {
            "path": [str(p) for p in files],
            "label": labels,
            "defect_type": ["crack" if label else "good" for label in labels],
            "mask_path": None,
            "category": "metal_nut",
            "split": "train",
            "sample_id": [p.name for p in files],
        }
    )
    return Dataset("mine", files[0].parent, frame)


def test_pixel_maps_have_the_size_of_the_files(tiny_model, files) -> None:
    maps = Lake(tiny_model("clip"), k=8, layers=[1]).fit(files[:1]).score(files)
    assert [m.shape for m in maps.pixel_maps()] == [(12, 20)] * 3
    assert maps.sample_ids == [p.as_posix() for p in files]


def test_class_name_of_draw_and_data_set(tiny_model, files) -> None:
    lake = Lake(tiny_model("clip"), k=8, layers=[1])
    assert lake.fit(files).text.class_name == "object"
    data = dataset(files, [0, 0, 0])
    assert lake.fit(data).text.class_name == "metal nut"
    assert lake.normal_ids == data.sample_ids
    draw = FewShotDraw("mine", "metal_nut", 0, 3, ("0.png",), (files[0],))
    assert lake.fit(draw).text.class_name == "metal nut"
    assert lake.fit(draw, "screw").text.class_name == "screw"


def test_anomalous_images_are_not_fitted_on_unawares(tiny_model, files) -> None:
    lake, data = Lake(tiny_model("clip"), k=8, layers=[1]), dataset(files, [0, 1, 0])
    with pytest.raises(DataError, match=r"1 of the 3 images of mine.*anomalous"):
        lake.fit(data)
    lake.fit(data.normal())
    lake.fit(data.paths)  # on purpose


def test_skipped_images_are_listed(tiny_model, files) -> None:
    files[1].write_bytes(b"no image")
    lake = Lake(tiny_model("clip"), k=8, layers=[1]).fit(files, loading=Loading(skip_bad=True))
    assert [path for path, _ in lake.skipped] == [str(files[1])]
    assert lake.normal_ids == [files[0].as_posix(), files[2].as_posix()]
    maps = lake.score(files, loading=Loading(skip_bad=True))
    assert (len(maps), len(maps.skipped)) == (2, 1)


# --- what must be refused, and when ---


def test_scoring_before_fitting(tiny_model) -> None:
    with pytest.raises(NotFittedError, match="call fit"):
        Lake(tiny_model("clip"), k=8, layers=[1]).score(normal(1), preprocessed=True)


@pytest.mark.parametrize(
    ("kind", "said"), [("timm", "no text encoder"), ("resnet", "pools with attention")]
)
def test_text_weight_where_there_can_be_no_text_branch(tiny_model, kind: str, said: str) -> None:
    model = tiny_model(kind)
    with pytest.raises(TextBranchError, match=f"text_weight is 0.3.*{said}"):
        Lake(model, k=8, text_weight=0.3)
    assert Lake(model, k=8).text_weight == Lake(model, k=8, text_weight=0).text_weight == 0
    assert Lake(tiny_model("clip"), k=8).text_weight == 0.3


def test_impossible_settings_fail_before_any_image_is_read(tiny_model) -> None:
    model = tiny_model("clip")
    with pytest.raises(SelectionError, match="32 channels, so k must be between 1 and 32, not 33"):
        Lake(model, k=33)
    with pytest.raises(SelectionError, match="nearest: variance"):
        Lake(model, k=8, selector="varience")
    with pytest.raises(ConfigError, match="blocks 0 to 3"):
        Lake(model, k=8, layers=[7])
    with pytest.raises(UnknownHookPointError):
        Lake(model, k=8, layers=["blocks.1.hook_resid"])
    lake = Lake(model, k=8, layers=[1])
    with pytest.raises(SelectionError, match="no selector 'rnd'"):
        lake.fit(["missing.png"], controls=[("rnd", 0)])
    with pytest.raises(ConfigError, match="value_blocks"):
        Lake(model, k=8, text=TextOptions(attention="value_value")).fit(["missing.png"])
    with pytest.raises(DataError, match="no images"):
        lake.fit([])


@pytest.mark.parametrize(
    "bad",
    [
        {"text_weight": 1.1},
        {"text_weight": float("nan")},
        {"smoothing": -1.0},
        {"seed": -1},
        {"map_size": (0, 4)},
    ],
)
def test_options_out_of_range(bad: dict) -> None:
    with pytest.raises(ConfigError):
        LakeOptions(**bad)


@pytest.mark.parametrize(
    "bad", [{"coreset": 0.0}, {"coreset": 1.1}, {"distance": "l1"}, {"neighbours": 0}]
)
def test_visual_options_out_of_range(bad: dict) -> None:
    with pytest.raises(ConfigError):
        VisualOptions(**bad)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"k": "3"}, "k is '3'; it must be a whole number"),
        ({"k": 3.5}, "k is 3.5; it must be a whole number"),
        ({"map_size": 256}, "map_size is 256; it must be a sequence"),
        ({"visual": "cosine"}, r"visual is 'cosine'; it must be VisualOptions\(\.\.\.\)"),
        ({"layer": [3]}, "no option 'layer'; nearest: layers"),
        ({"distance": "euclidean"}, r"it is set as visual=VisualOptions\(distance=\.\.\.\)"),
        ({"colour": 1}, "no option 'colour'$"),
    ],
)
def test_options_of_another_type_or_name(tiny_model, given: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Lake(tiny_model("clip"), **given)


def test_whole_numbers_of_numpy_are_taken(tiny_model) -> None:
    options = Lake(tiny_model("clip"), k=np.int64(4), smoothing=1).options
    assert type(options.k) is int and type(options.smoothing) is float


def test_nan_activations_are_errors_in_fit_and_score(tiny_model) -> None:
    model, bad = tiny_model("clip"), normal(3)
    bad[1, 0, 0, 0] = float("nan")
    lake = Lake(model, k=8, layers=[1])
    with pytest.raises(ActivationError, match=r"blocks\.1\.hook_resid_post of image 1"):
        lake.fit(bad, preprocessed=True)
    lake.fit(normal(2), preprocessed=True)
    with pytest.raises(ActivationError, match="of image 1"):
        lake.score(bad, preprocessed=True)
    # A failed fit leaves the detector as it was.
    before = lake.score(normal(1), preprocessed=True).patch
    with pytest.raises(ActivationError):
        lake.fit(bad, preprocessed=True)
    assert np.array_equal(lake.score(normal(1), preprocessed=True).patch, before)
    assert lake.normal_ids == ["image 0", "image 1"]


def test_nan_that_only_the_text_branch_meets(tiny_model) -> None:
    model = tiny_model("clip")
    lake = Lake(model, k=8, layers=[0]).fit(normal(1), preprocessed=True)
    model.module.visual.transformer.resblocks[3].ln_1.weight.data[5] = float("nan")
    with pytest.raises(ActivationError, match=r"blocks\.3\.hook_resid_post of image 0"):
        lake.score(normal(1), preprocessed=True)
