"""The ``contamination`` study: planted defects in the memory, clean controls, disjoint images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import hypergeom

from lakeviz.activations.token_subsets import CapturedTokens
from lakeviz.errors import ConfigError, DataError, MetricError, SelectionError
from lakeviz.lake import LakeOptions, VisualOptions
from lakeviz.metrics import Bootstrap, contrasts
from lakeviz.metrics.measurement import metric_columns
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.contamination import contamination
from lakeviz.studies.contamination.fitting import Draw, Mixture, make_plan, replaced_counts
from lakeviz.studies.contamination.result import ContaminationResult

POINT = "blocks.0.hook_resid_post"
FEW = Bootstrap(n_resamples=200)
AUROC = [("image", "auroc")]


def rows(table: pd.DataFrame, **equals) -> pd.DataFrame:
    keep = np.ones(len(table), dtype=bool)
    for column, value in equals.items():
        keep &= (table[column] == value).to_numpy()
    return table[keep]


def one_defect(n_normal: int = 12, n_anomalous: int = 16, seed: int = 0) -> StudyData:
    """All defects look alike: once one is remembered, all are near it. Channel 11 betrays them.

    Channels differ in variance; the defect lies in a channel that is quiet on normal images.
    """
    generator = np.random.default_rng(seed)
    scales = np.linspace(2, 0.4, 12)
    n_test = 16 + n_anomalous
    tokens = generator.standard_normal((n_normal + n_test, 16, 12)) * scales
    labels = np.r_[np.zeros(16, int), np.ones(n_anomalous, int)]
    masks = np.zeros((n_test, 4, 4), dtype=bool)
    masks[16:, 1:3, 1:3] = True
    test = tokens[n_normal:]
    defects = test[masks.reshape(n_test, 16)]
    test[masks.reshape(n_test, 16)] = 0.05 * defects + 30 * np.eye(12)[11]
    options = LakeOptions(
        k=4, text_weight=0, map_size=(4, 4), visual=VisualOptions(distance="euclidean")
    )
    return StudyData.of_arrays(
        {POINT: torch.from_numpy(tokens[:n_normal]).float()},
        {POINT: torch.from_numpy(test).float()},
        labels,
        list(masks),
        grid=(4, 4),
        options=options,
    )


ARGS = {"shots": 4, "fractions": (0, 0.25, 0.5), "n_repeats": 3, "bootstrap": FEW}


@pytest.fixture(scope="module")
def planted() -> ContaminationResult:
    return contamination(
        one_defect(), what=("both", "selection", "gallery", "swapped", "fewer"), **ARGS
    )


def value(result: ContaminationResult, column: str = "value", **equals) -> float:
    found = rows(result.metrics, level="image", metric="auroc", **equals)
    assert len(found) == 1
    return float(found[column].iloc[0])


def test_a_remembered_defect_is_found_no_more(planted):
    """``all`` sees the defect until the memory holds it; then it is no better than chance."""
    assert value(planted, selector="all", what="both", n_contaminated=0) == 1
    assert value(planted, selector="all", what="both", n_contaminated=1) < 0.75
    dirty = rows(planted.metrics, selector="all", what="both", n_contaminated=2, metric="auroc")
    assert (dirty["change_high"] < 0).all()
    assert (dirty["n_lower"] == 3).all()


def test_clean_memory_and_controls_do_not_suffer(planted):
    for what in ("selection", "swapped", "fewer"):
        assert value(planted, selector="all", what=what, n_contaminated=2) > 0.99
    memory = rows(planted.metrics, selector="all", what="gallery")["value"].to_numpy()
    both = rows(planted.metrics, selector="all", what="both")["value"].to_numpy()
    np.testing.assert_allclose(memory, both)  # "all" selects nothing by the images


def test_the_defect_draws_the_variance_and_not_the_robust(planted):
    """A channel that defects drive is selected by its variance; robust ones stay with the bulk."""
    kept = rows(planted.stability, what="both", n_contaminated=1, measure="jaccard")
    by_selector = kept.set_index("selector")["value"]
    assert by_selector["variance"] == pytest.approx(3 / 5)  # one of the four gives way
    assert by_selector["mad"] > by_selector["variance"]
    assert set(planted.stability["what"]) == {"both", "selection", "swapped", "fewer"}
    # With a clean memory that channel is what finds the defects: the selection *gains* by it.
    assert value(planted, "change", selector="variance", what="selection", n_contaminated=1) > 0.1


def test_stability_beside_chance(planted):
    found = rows(planted.stability, measure="jaccard")
    shared = np.arange(5)
    expected = (hypergeom.pmf(shared, 12, 4, 4) * shared / (8 - shared)).sum()
    np.testing.assert_allclose(found["expected"], expected)
    kernel = rows(planted.stability, measure="kernel")
    np.testing.assert_allclose(kernel["expected"], 4 / 12)
    assert "pca" in set(kernel["selector"])
    assert "pca" not in set(found["selector"])
    assert not {"random", "all"} & set(planted.stability["selector"])


def test_fraction_zero_is_the_plain_detector():
    data = one_defect(n_normal=4)
    result = contamination(data, what=("both",), **ARGS)
    reserved = result.provenance["categories"]["category"]["contaminants"]
    keep = ~np.isin(data.test.sample_ids, reserved)
    sizes = [size for size, own in zip(data.sizes, keep, strict=True) if own]
    whole = data.evaluator(bootstrap=FEW)
    evaluator = replace(whole, truth=data.truth.where(keep), sizes=sizes)
    for name in ("variance", "mad", "trimmed_variance", "pca", "all"):
        (maps,) = data.visual_maps(data.branches([data.select(4, name)]))
        plain = evaluator.measure(maps[keep])
        for metric, columns in metric_columns(evaluator.measured):
            (row,) = rows(
                result.metrics, selector=name, n_contaminated=0, what="both", **columns
            ).to_dict("records")
            own = contrasts.estimate_of(plain, metric, FEW)
            found = (row["value"], row["low"], row["high"])
            assert found == pytest.approx((own.value, own.low, own.high), rel=1e-5)
    assert any("same 4 normal images" in note for note in result.notes)


def test_contaminants_are_never_tested_on(planted):
    described = planted.provenance["categories"]["category"]
    assert len(described["contaminants"]) == 4  # twice what a draw needs
    assert all(int(name.split()[1]) >= 16 for name in described["contaminants"])
    assert set(planted.metrics["n_images"]) == {32 - 4}
    assert {len(d["normal"]) for d in described["draws"]} == {4}


def test_numbers_of_images_are_told(planted):
    t = planted.metrics
    assert sorted(set(t["n_contaminated"])) == [0, 1, 2]
    np.testing.assert_allclose(t["fraction"], t["n_contaminated"] / 4)
    assert set(rows(t, what="both")["n_fit"]) == {4}
    assert sorted(set(rows(t, what="fewer")["n_fit"])) == [2, 3, 4]
    missing = t["change"].isna()
    assert (t.loc[missing, "reason"].str.contains("changes are taken from here")).all()


def test_changes_and_differences_add_up(planted):
    keys = {"what": "both", "level": "image", "metric": "auroc"}
    for name in ("random", "pca"):
        clean = rows(planted.metrics, selector=name, n_contaminated=0, **keys).iloc[0]
        dirty = rows(planted.metrics, selector=name, n_contaminated=2, **keys).iloc[0]
        own = rows(planted.metrics, selector="variance", n_contaminated=2, **keys).iloc[0]
        assert dirty["change"] == pytest.approx(dirty["value"] - clean["value"])
        assert dirty["difference"] == pytest.approx(own["value"] - dirty["value"])
        assert dirty["change_difference"] == pytest.approx(own["change"] - dirty["change"])


@given(st.integers(1, 20), st.lists(st.floats(0, 0.5), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_counts_are_whole_and_at_most_half_rounded_up(shots, fractions):
    try:
        counts = replaced_counts(fractions, shots)
    except ConfigError:
        assert all(f * shots < 0.5 for f in fractions)
        return
    assert counts[0] == 0
    assert list(counts) == sorted(set(counts))
    assert counts[-1] <= (shots + 1) // 2
    for fraction in fractions:
        assert min(abs(n - fraction * shots) for n in counts) <= 0.5


def test_halves_round_up():
    assert replaced_counts((0.125, 0.25, 0.375, 0.5), 8) == (0, 1, 2, 3, 4)
    assert replaced_counts((0.125,), 4) == (0, 1)
    with pytest.raises(ConfigError, match="round to no contaminated image"):
        replaced_counts((0.1,), 4)


@given(st.integers(0, 10_000), st.integers(2, 6))
@settings(max_examples=40, deadline=None)
def test_plan_keeps_its_promises(seed, shots):
    labels = np.r_[np.zeros(5, int), np.ones(12, int)]
    counts = replaced_counts((0.25, 0.5), shots)
    plan = make_plan(
        [f"n{i}" for i in range(9)],
        [f"t{i}" for i in range(17)],
        labels,
        shots=shots,
        counts=counts,
        n_repeats=4,
        seed=seed,
        category="c",
    )
    assert all(labels[i] == 1 for i in plan.reserved)
    assert labels.sum() - len(plan.reserved) >= 2
    for draw in plan.draws:
        assert set(draw.contaminants) <= set(plan.reserved)
        assert not set(draw.fitted) & set(draw.others)
        before: set[int] = set()
        for n in counts:
            seen, memory = draw.mixtures("both", n)
            assert seen == memory
            assert len(seen) == len(set(seen.normal)) + n == shots
            assert before <= set(seen.defective)
            before = set(seen.defective)


def test_mixtures_of_every_kind():
    draw = Draw((0, 1, 2, 3), (7, 8), (20, 21))
    clean, dirty = Mixture((0, 1, 2, 3)), Mixture((0, 1, 2), (20,))
    assert draw.mixtures("both", 1) == (dirty, dirty)
    assert draw.mixtures("selection", 1) == (dirty, clean)
    assert draw.mixtures("gallery", 1) == (clean, dirty)
    assert draw.mixtures("swapped", 2) == (Mixture((0, 1, 7, 8)),) * 2
    assert draw.mixtures("fewer", 1) == (Mixture((0, 1, 2)),) * 2


def test_order_of_images_does_not_matter():
    data = one_defect(n_normal=8)
    order = np.random.default_rng(0).permutation(len(data.test))
    back = np.arange(8)[::-1]
    turned = replace(
        data,
        normal=CapturedTokens.of_patches(
            {POINT: data.normal.patches(POINT)[back.tolist()]},
            [data.normal.sample_ids[i] for i in back],
        ),
        test=CapturedTokens.of_patches(
            {POINT: data.test.patches(POINT)[order.tolist()]},
            [data.test.sample_ids[i] for i in order],
        ),
        truth=type(data.truth).of_masks(
            data.truth.labels[order], [data.truth.masks[i] for i in order]
        ),
    )
    first, second = (contamination(d, metrics=AUROC, **ARGS) for d in (data, turned))
    for column in ("value", "change", "difference"):
        np.testing.assert_allclose(first.metrics[column], second.metrics[column], atol=1e-6)
    np.testing.assert_allclose(first.stability["value"], second.stability["value"])


@pytest.mark.slow
def test_null_is_rarely_called_a_change():
    """Contaminants that are like the normal images change nothing: intervals hold zero."""
    called = 0
    for seed in range(24):
        generator = np.random.default_rng(seed)
        draw = {n: torch.from_numpy(generator.standard_normal((n, 9, 8))).float() for n in (10, 44)}
        data = StudyData.of_arrays(
            {POINT: draw[10]},
            {POINT: draw[44]},
            np.repeat([0, 1], 22),
            grid=(3, 3),
            options=LakeOptions(k=3, text_weight=0),
        )
        result = contamination(
            data,
            shots=4,
            fractions=(0.5,),
            n_repeats=4,
            selectors=("variance",),
            controls=("random",),
            what=("both",),
            metrics=AUROC,
            bootstrap=Bootstrap(n_resamples=300, seed=seed),
            seed=seed,
        )
        row = rows(result.metrics, selector="variance", n_contaminated=2).iloc[0]
        called += row["change_low"] > 0 or row["change_high"] < 0
    assert called <= 4  # 95 % intervals: more than 4 of 24 by chance in 0.6 % of all cases


def test_summary_says_effect_control_and_n(planted):
    said = planted.summary()
    assert said.startswith("Mean changes over 3 repeats.")
    assert "neurons with 1 of 4 images defective, image AUROC" in said
    assert "minus the clean fit" in said
    assert "95 % over 28 test images" in said
    assert "With 2 of 4 defective the selection keeps" in said
    assert "images swapped for other normal ones" in said
    assert "random neurons with 1 of 4 images defective" in said
    assert "by chance" in said
    only = contamination(one_defect(), what=("both",), controls=(), metrics=AUROC, **ARGS).summary()
    assert "random" not in only


def test_summary_over_categories(planted):
    other = ContaminationResult(
        **{name: table.assign(category="other") for name, table in planted.tables.items()},
        provenance={**planted.provenance, "categories": {"other": {}}},
    )
    said = ContaminationResult.join([planted, other]).summary()
    assert "Mean over 2 categories" in said
    assert "(95 % over 2 categories)" in said


def test_without_masks_or_room_to_swap(world):
    data = world(masks=False, n_fit=5)
    result = contamination(data, **ARGS)
    assert set(result.metrics["level"]) == {"image"}
    assert set(result.metrics["what"]) == {"both"}
    assert any("no pixel-level metrics" in note for note in result.notes)
    assert any("which needs 6 of them; 5 were captured" in note for note in result.notes)


def test_bad_input(world):
    data = world(n_fit=3)
    with pytest.raises(DataError, match=r"needs 4 normal images.*3 were captured"):
        contamination(data, shots=4)
    data = world(n_fit=6, n_anomalous=3)
    with pytest.raises(DataError, match=r"2 of the 3 defective test images.*at least 2"):
        contamination(data, **ARGS)
    data = world(n_fit=4)
    with pytest.raises(ConfigError, match=r"fractions is 0\.6; it must be between 0 and 0\.5"):
        contamination(data, shots=4, fractions=(0.6,))
    with pytest.raises(ConfigError, match=r"what must be both.*, not 'memory'"):
        contamination(data, shots=4, what=("memory",))
    with pytest.raises(ConfigError, match="n_repeats is 1; it must be at least 2"):
        contamination(data, shots=4, n_repeats=1)
    with pytest.raises(SelectionError, match="madd"):
        contamination(data, shots=4, selectors=("madd",))
    with pytest.raises(MetricError, match="all 24 images are normal"):
        contamination(world(n_anomalous=0), shots=4)
    with pytest.raises(MetricError, match="no metric is defined"):
        contamination(world(n_normal=0, masks=False), shots=4)


def test_round_trip(planted, tmp_path):
    read = ContaminationResult.from_parquet(planted.to_parquet(tmp_path / "c"))
    for name, table in planted.tables.items():
        pd.testing.assert_frame_equal(read.tables[name], table)
    assert read.summary() == planted.summary()
