"""Outlier reports and dropped channels and tokens, on planted massive activations."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from scipy import stats
from worlds import World

from lakeviz.activations import ChannelStatistics, RunningStatistics, massive_tokens
from lakeviz.activations.massive import massive_activations, without_massive_tokens
from lakeviz.errors import ConfigError, SelectionError
from lakeviz.lake import LakeOptions, OutlierWatch, massive_channels, outlier_report, select
from lakeviz.lake.dropping import channels_to_drop
from lakeviz.lake.joint_selection import select_points
from lakeviz.lake.provenance import as_plain

POINT, GRID = "blocks.0.hook_resid_post", (6, 5)
CHANNEL, PLACES = 7, (0, 29)  # two corners


def planted(n_images: int = 8, massive: bool = True, seed: int = 0) -> torch.Tensor:
    """Gaussian tokens; channel 7 is at -400 at two corners of every image."""
    tokens = np.random.default_rng(seed).normal(0.3, 1, (n_images, 30, 24))
    if massive:
        tokens[:, PLACES, CHANNEL] = -400
    return torch.from_numpy(tokens).float()


def statistics_of(tokens: torch.Tensor, **options) -> RunningStatistics:
    found = RunningStatistics([POINT], **options)
    found.update_tokens({POINT: tokens})
    return found


def report_of(tokens: torch.Tensor, **options):
    (one,) = outlier_report(statistics_of(tokens, **options), {POINT: tokens}, {POINT: GRID}).points
    return one


# --- what is massive ---


def test_planted_tokens_are_found_and_no_other():
    expected = np.zeros((8, 30), dtype=bool)
    expected[:, PLACES] = True
    np.testing.assert_array_equal(massive_tokens(planted()).numpy(), expected)


@pytest.mark.parametrize("channels", [16, 192, 1024])
def test_gaussian_tokens_have_none(channels):
    tokens = torch.randn(3000, channels, generator=torch.Generator().manual_seed(0))
    assert not massive_tokens(tokens).any()
    assert not massive_tokens(10 + tokens).any()


def test_the_rule_is_fifty_times_the_median_magnitude():
    token = torch.ones(1, 17)
    token[0, 3] = -50.0
    assert not massive_tokens(token).any()
    token[0, 3] = -50.1
    assert massive_activations(token)[0].nonzero().tolist() == [[3]]
    assert massive_activations(1e-3 * token).equal(massive_activations(token))


def test_rectified_and_narrow_tokens_have_none():
    rectified = torch.zeros(2, 20)
    rectified[0, :3] = torch.tensor([1.0, 2, 30])
    assert not massive_tokens(rectified).any()
    narrow = torch.tensor([[1e-9, 1.0, 1e-9]])
    assert not massive_tokens(narrow).any()


# --- the report ---


def test_report_names_the_planted_channel():
    tokens = planted()
    one = report_of(tokens)
    values = tokens.reshape(-1, 24).double().numpy()
    variance = values.var(axis=0)
    order = np.argsort(-variance)
    assert (one.channel, one.second_channel) == (CHANNEL, order[1])
    assert one.share == pytest.approx(variance[CHANNEL] / variance.sum())
    assert one.sd == pytest.approx(values[:, CHANNEL].std())
    assert one.participation_ratio == pytest.approx(variance.sum() ** 2 / (variance**2).sum())
    assert one.kurtosis == pytest.approx(stats.kurtosis(values[:, CHANNEL]))
    assert one.massive_share == pytest.approx(2 / 30)
    assert (one.massive_channel, one.massive_value) == (CHANNEL, -400)
    assert (one.border_share, one.fixed_share, one.positions) == (1, 1, "0,0 5,4")
    assert one.grid_border_share == pytest.approx(18 / 30)
    assert (one.row, one.column) == (0.5, 0.5)
    assert one.dominated
    assert "channel 7 holds 99.8 % of the variance" in one.sentence()


def test_warning_only_where_one_channel_holds_more_than_half():
    planted_report = outlier_report(statistics_of(planted()))
    assert "One channel, 7, holds 99.8 % of the variance" in planted_report.warning()
    assert math.isnan(planted_report.points[0].kurtosis)
    assert "massive" not in planted_report.sentence()
    plain = report_of(planted(massive=False))
    assert plain.massive_share == 0
    assert plain.sentence().endswith("no massive token.")
    assert outlier_report(statistics_of(planted(massive=False))).warning() == ""


def test_no_channel_shares_the_variance_of_equal_ones():
    equal = ChannelStatistics(POINT, count=10, mean=np.zeros(8), m2=np.full(8, 20.0))
    (one,) = outlier_report({POINT: equal}).points
    assert one.participation_ratio == pytest.approx(8)
    assert one.share == pytest.approx(1 / 8)


def test_a_watch_in_batches_says_the_same():
    tokens = planted()
    statistics = statistics_of(tokens)
    watch = OutlierWatch(statistics, {POINT: GRID})
    passed = list(watch.watch({POINT: part} for part in tokens.split(3)))
    assert torch.cat([batch[POINT] for batch in passed]).equal(tokens)
    whole = outlier_report(statistics, {POINT: tokens}, {POINT: GRID})
    assert watch.report().frame().equals(whole.frame())


def test_positions_that_move_are_not_fixed():
    tokens = planted(massive=False)
    for image in range(8):
        tokens[image, 7 + image, CHANNEL] = (
            500  # 7, 8 and 11 to 13 inside, 9, 10 and 14 at the edge
        )
    one = report_of(tokens)
    assert (one.fixed_share, one.positions) == (0, "")
    assert one.border_share == pytest.approx(3 / 8)


def test_tokens_need_a_grid():
    with pytest.raises(ConfigError, match="patch grid"):
        outlier_report(statistics_of(planted()), {POINT: planted()})


# --- dropping ---


def test_massive_channels_one_after_the_other():
    shares = ChannelStatistics(POINT, count=1, mean=np.zeros(4), m2=np.array([3.0, 60, 30, 2]))
    assert massive_channels(shares) == (1, 2, 0)  # 60 of 95, 30 of 35, 3 of 5
    assert massive_channels(shares, 0.7) == ()
    equal = ChannelStatistics(POINT, count=1, mean=np.zeros(4), m2=np.ones(4))
    assert massive_channels(equal) == ()
    assert massive_channels(equal, 0.1) == (0, 1, 2)


def test_channels_to_drop():
    statistics = statistics_of(planted())[POINT]
    assert channels_to_drop(statistics, None) == ()
    assert channels_to_drop(statistics, "massive") == (CHANNEL,)
    assert channels_to_drop(statistics, (3, 1)) == (3, 1)
    with pytest.raises(SelectionError, match="channels 0 to 23, so 24"):
        channels_to_drop(statistics, (24,))
    with pytest.raises(SelectionError, match="all 24 channels are dropped"):
        channels_to_drop(statistics, tuple(range(24)))


ALL = ["variance", "random", "all", "next_variance", "bottom_variance", "pca", "rotated"]


@pytest.mark.parametrize("selector", [*ALL, "rescaled_random", "variance_without_first", "mad"])
def test_no_selection_takes_a_dropped_channel(selector):
    tokens = planted()
    statistics = statistics_of(tokens, with_covariance=True, with_tokens=True)[POINT]
    statistics.dropped = (CHANNEL, 2)
    for seed in range(5):
        found = select(statistics, 22 - (selector == "variance_without_first"), selector, seed=seed)
        assert found.n_channels == 24
        moved = tokens.clone()
        moved[..., [CHANNEL, 2]] += 100
        assert torch.equal(found.project(moved), found.project(tokens))
        assert found.provenance["dropped_channels"] == [CHANNEL, 2]
    with pytest.raises(SelectionError, match="22 channels, so k must be between 1 and 22, not 23"):
        select(statistics, 23)


def test_a_selection_with_dropped_channels_is_that_of_the_rest():
    tokens = planted()
    statistics = statistics_of(tokens)[POINT]
    statistics.dropped = (CHANNEL,)
    rest = np.delete(np.arange(24), CHANNEL)
    own = select(ChannelStatistics(POINT).update(tokens[..., rest]), 5)
    assert select(statistics, 5).channels.tolist() == rest[own.channels].tolist()
    back = ChannelStatistics.from_arrays(POINT, statistics.arrays())
    assert back.dropped == (CHANNEL,)


def test_joint_selection_honours_dropped_channels_and_scales():
    two = {p: ChannelStatistics(p, True).update(planted(seed=s)) for s, p in enumerate("ab")}
    for one in two.values():
        one.dropped = (CHANNEL,)
    for selector in ("variance", "random", "pca", "rescaled_random"):
        found = select_points(two, 10, selector, scope="joint")
        assert sum(own.k for own in found.values()) == 10
        for own in found.values():
            moved = planted().clone()
            moved[..., CHANNEL] += 9
            assert torch.equal(own.project(moved), own.project(planted()))
    rest = np.sort(np.concatenate([np.delete(s.variance, CHANNEL) for s in two.values()]))[::-1]
    scores = np.concatenate([s.scores for s in select_points(two, 10, scope="joint").values()])
    np.testing.assert_allclose(np.sort(scores)[::-1], rest[:10])
    assert sum(s.k for s in select_points(two, 46, scope="joint").values()) == 46


def test_statistics_of_ordinary_tokens():
    tokens = planted()
    found = statistics_of(tokens, ordinary=True)[POINT]
    rest = np.delete(tokens.double().numpy(), PLACES, axis=1).reshape(-1, 24)
    assert found.count == 8 * 28
    np.testing.assert_allclose(found.variance, rest.var(axis=0), rtol=1e-10)
    one = report_of(tokens, ordinary=True)
    assert one.massive_share == pytest.approx(2 / 30)
    assert not one.dominated
    assert one.kurtosis == pytest.approx(stats.kurtosis(rest[:, one.channel]))


def test_galleries_without_massive_tokens():
    (batch,) = without_massive_tokens([{POINT: planted()}])
    assert batch[POINT].shape == (1, 8 * 28, 24)
    assert batch[POINT].abs().max() < 10


def test_options_are_checked_and_stored():
    for channels in (None, "massive", 0.25, (41, 3)):
        options = LakeOptions(drop_channels=channels, drop_tokens="both")
        assert LakeOptions.from_plain(json.loads(json.dumps(as_plain(options)))) == options
    plain = as_plain(LakeOptions())
    del plain["drop_channels"], plain["drop_tokens"]
    assert LakeOptions.from_plain(plain) == LakeOptions()
    for bad in ("first", 1.5, (1.5,), 41, True):
        with pytest.raises(ConfigError, match="drop_channels must be"):
            LakeOptions(drop_channels=bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="drop_tokens must be none, selection, gallery or both"):
        LakeOptions(drop_tokens="all")


def test_studies_follow_the_options():
    world = World(scales=(100.0, *np.linspace(2, 0.5, 23)), n_fit=8)
    point = world.points[0]
    assert 0 in world.data(k=3).select(3)[point].channels
    assert "One channel, 0," in world.data(k=3).outliers.warning()
    data = world.data(k=3, drop_channels="massive")
    assert 0 not in data.select(3)[point].channels
    assert data.select(3, "all")[point].channels.tolist() == list(range(1, 24))
    assert data.outliers.warning() == ""
    normal, test, labels, masks = (world := World(scales=[1.0] * 24, n_fit=8)).arrays()
    normal[point][:, 0, 5] = 4000
    made = type(data).of_arrays(
        normal,
        test,
        labels,
        masks,
        grid=world.grid,
        options=LakeOptions(k=3, text_weight=0, map_size=world.grid, drop_tokens="both"),
    )
    assert made.statistics[point].count == 8 * 15
    (branch,) = made.branches([made.select(3)])
    assert len(branch.points[point].gallery) == 8 * 15
    assert (
        len(
            made.view(options=LakeOptions(k=3, text_weight=0, map_size=world.grid))
            .branches([made.select(3)])[0]
            .points[point]
            .gallery
        )
        == 8 * 16
    )


# --- a real tower ---


@pytest.mark.real_data
def test_vit_tiny_has_one_massive_channel(real_data):
    from lakeviz.data import read_dataset
    from lakeviz.models import load_model
    from lakeviz.studies import capture_study

    weights = real_data / "vit_tiny_patch16_224.safetensors"
    model = load_model("timm/vit_tiny_patch16_224", weights)
    dataset = read_dataset("mvtec", real_data / "hazelnut_toy")
    own = dataset.category(dataset.categories[0])
    some = own.where(np.isin(own.sample_ids, own.split("test").sample_ids[:2]))
    data = capture_study(
        model,
        own.few_shot(4, 0),
        some,
        points=[5, 8],
        options=LakeOptions(k=20, map_size=(32, 32)),
    )
    five, eight = data.outliers.points
    assert not five.dominated
    assert five.massive_share == 0
    assert eight.channel == eight.massive_channel == 41
    assert eight.share > 0.9
    assert eight.massive_share == pytest.approx(0.02, abs=0.003)
    assert eight.massive_value == pytest.approx(-540, abs=40)
    assert "One channel, 41, holds" in data.outliers.warning()
    assert "blocks.8" in data.outliers.warning()
    without = data.view(options=LakeOptions(k=20, map_size=(32, 32), drop_channels="massive"))
    assert 41 not in without.select(20)["blocks.8.hook_resid_post"].channels
    assert 41 in data.select(20, "mad")["blocks.8.hook_resid_post"].channels[:1]
