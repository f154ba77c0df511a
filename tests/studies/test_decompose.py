"""The study of a decomposition: planted parts, null worlds, hand-worked numbers, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from lakeviz.data.loading import ImageBatches
from lakeviz.errors import ConfigError, HookError, MetricError, TextBranchError
from lakeviz.lake import PromptEnsemble
from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics import Bootstrap
from lakeviz.studies import DecomposeResult, decompose, load_study
from lakeviz.studies.decompose import (
    class_mean_direction,
    given_direction,
    mean_ablated,
    text_direction,
)
from lakeviz.studies.decompose.component_rows import (
    Comparison,
    _welch,
    component_rows,
    difference_draws,
    location_rows,
    mean_difference,
    neuron_rows,
    place,
    shuffled_p_values,
)
from lakeviz.studies.decompose.decomposer import Gathered
from lakeviz.studies.decompose.mean_ablation import ablation_rows, halves

FEW = Bootstrap(n_resamples=200)
LABELS = np.r_[np.zeros(20, int), np.ones(20, int)]
BLOCKS = ["embedding"] + [f"blocks.{b}.{p}" for b in range(4) for p in ("attn", "mlp")]
POINT = "blocks.3.hook_resid_post"


# --- planted worlds: contributions in which it is known what moves ---


def planted(seed: int, shift: float = 0.0, n_neurons: int = 60, n_random_sets: int = 9) -> Gathered:
    """Noise everywhere; anomalous images have more of ``blocks.2.attn`` and of neuron 7."""
    generator = np.random.default_rng(seed)
    n = len(LABELS)
    terms = generator.standard_normal((n, len(BLOCKS)))
    terms[LABELS == 1, BLOCKS.index("blocks.2.attn")] += shift
    random = generator.standard_normal((n, len(BLOCKS), n_random_sets))
    neurons = generator.standard_normal((n, n_neurons)).astype(np.float32)
    neurons[LABELS == 1, 7] += shift
    maps = generator.standard_normal((n, 4, 4)).astype(np.float32)
    maps[LABELS == 1, 0, 0] += shift
    return Gathered(
        names={"blocks": BLOCKS},
        terms={"blocks": terms},
        random={"blocks": random},
        neurons=neurons,
        neurons_random=0.2 * generator.standard_normal((2, n_neurons, n_random_sets)),
        neuron_names=np.stack([np.zeros(n_neurons, int), np.arange(n_neurons)], axis=1),
        output=terms.sum(1),
        output_random=random.sum(1),
        maps=maps,
        maps_random=generator.standard_normal((n, n_random_sets, 4, 4)).astype(np.float32),
    )


def settings(masks: bool = False, n_random_sets: int = 5) -> Comparison:
    own = None
    if masks:
        own = [np.zeros((4, 4), dtype=bool) for _ in LABELS]
        for mask in (m for m, label in zip(own, LABELS, strict=True) if label):
            mask[0, 0] = True
    metrics = (("image", "auroc"), ("pixel", "aupro"))
    truth = Truth.of_masks(LABELS, own)
    evaluator = PairedEvaluator(truth, map_size=(4, 4), metrics=metrics, bootstrap=FEW)
    return Comparison(LABELS, evaluator, n_random_sets, top=10, seed=0)


def test_a_planted_component_is_found_and_the_others_are_not():
    table = component_rows(planted(0, shift=3.0), settings())
    clear = table[(table["p_corrected"] < 0.05) & (table["level"] == "blocks")]
    assert list(clear["component"]) == ["blocks.2.attn"]
    row = clear.iloc[0]
    assert row["difference_low"] < 3.0 < row["difference_high"]
    assert row["difference"] > row["control_quantile_high"]
    assert row["p_control"] == pytest.approx(1 / 10)
    assert row["auroc"] > 0.9
    assert row["auroc_difference_low"] > 0
    assert row["n_others"] == 3  # the other attention branches
    one = table[table["component"] == "embedding"].iloc[0]
    assert one["reason"] == "the only one of its kind"
    assert np.isnan(one["random_auroc"])


def test_where_nothing_is_planted_little_is_found():
    tables = [component_rows(planted(seed), settings()) for seed in range(12)]
    blocks = [t[t["level"] == "blocks"] for t in tables]
    found = np.concatenate([t["p"].to_numpy() for t in blocks])
    assert 0.01 <= np.mean(found < 0.05) <= 0.10
    # Corrected: any find at all in about one world of twenty.
    assert sum((t["p_corrected"] < 0.05).any() for t in blocks) <= 3
    covered = [(t["difference_low"] < 0) & (t["difference_high"] > 0) for t in blocks]
    assert 0.88 <= np.mean(np.concatenate(covered)) <= 0.99


def test_a_planted_neuron_leads_the_list():
    table = neuron_rows(planted(1, shift=3.0), settings())
    assert (table.loc[0, "block"], table.loc[0, "neuron"], table.loc[0, "rank"]) == (0, 7, 1)
    assert table.loc[0, "p_corrected"] < 0.05
    assert (table["p_corrected"][1:] > 0.05).all()
    assert (table["n_neurons"] == 60).all()
    assert len(table) == 10


def test_source_patches_are_compared_with_maps_along_random_directions():
    found = location_rows(planted(2, shift=6.0), settings(masks=True)).iloc[0]
    assert found["value"] > 0.9
    assert found["difference_low"] > 0
    null = location_rows(planted(2), settings(masks=True)).iloc[0]
    assert null["difference_low"] < 0 < null["difference_high"]
    assert location_rows(planted(2), settings()).empty


def test_ablating_what_was_planted_takes_the_effect_away():
    world, normal = planted(3, shift=3.0), planted(30)
    table = ablation_rows(world, normal, [1, 5, 999], settings())
    row = table[table["component"] == "blocks.2.attn"].iloc[0]
    assert row["change_high"] < 0
    assert row["difference_high"] < 0
    sets = table[table["level"] == "neurons"]
    assert list(sets["size"]) == [1, 5]  # there are no 999 neurons
    assert (sets["n_images"] == 20).all()


def test_halves_share_no_image_and_split_both_classes():
    first, second = halves(np.r_[np.zeros(5, int), np.ones(9, int)], seed=3)
    assert not (first & second).any()
    assert (first | second).all()
    assert (first[:5].sum(), first[5:].sum()) == (2, 4)


# --- arithmetic ---


def test_welchs_statistic_is_scipys():
    generator = np.random.default_rng(0)
    terms = generator.standard_normal((30, 4)) * [1, 2, 3, 4] + 100
    labels = np.r_[np.zeros(18, bool), np.ones(12, bool)]
    expected = ttest_ind(terms[labels], terms[~labels], equal_var=False).statistic
    np.testing.assert_allclose(_welch(terms, labels[None])[0], expected)
    assert (_welch(np.full((30, 1), 0.1), labels[None]) == 0).all()


def test_p_values_of_labels_of_which_all_shuffles_are_known():
    """Of 20 ways to choose three of six, one and its mirror are as far apart: p near 2 in 20."""
    terms = np.array([[0.0], [1], [2], [10], [11], [12]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    (p,) = shuffled_p_values(terms, labels, 4000, 0)
    assert p == pytest.approx(0.1, abs=0.02)
    (pooled,) = shuffled_p_values(terms, labels, 4000, 0, pooled=True)
    assert pooled == pytest.approx(p)


def test_draws_of_a_difference_keep_the_classes_apart():
    terms = np.r_[np.full((4, 1), 2.0), np.full((3, 1), 7.0)]
    labels = np.r_[np.zeros(4, int), np.ones(3, int)]
    assert mean_difference(terms, labels) == 5
    np.testing.assert_allclose(difference_draws(terms, labels, FEW), 5)


@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 4))
def test_mean_ablation_replaces_terms_in_the_sum(seed, n_terms, n_normal):
    generator = np.random.default_rng(seed)
    terms = generator.standard_normal((5, n_terms))
    normal = generator.standard_normal((n_normal, n_terms))
    gone = generator.permutation(n_terms)[: n_terms // 2 + 1]
    replaced = terms.copy()
    replaced[:, gone] = normal[:, gone].mean(0)
    found = mean_ablated(terms.sum(1), terms[:, gone], normal[:, gone])
    np.testing.assert_allclose(found, replaced.sum(1), atol=1e-12)


@pytest.mark.parametrize(
    ("component", "expected"),
    [
        ("blocks.11.attn", ("attention", 11, -1)),
        ("blocks.0.attn.head.12", ("head", 0, 12)),
        ("blocks.3.attn.bias", ("bias", 3, -1)),
        ("blocks.3.mlp", ("mlp", 3, -1)),
        ("final.bias", ("bias", -1, -1)),
        ("pool.mlp", ("mlp", -1, -1)),
        ("output", ("output", -1, -1)),
    ],
)
def test_names_say_what_a_component_is(component, expected):
    assert tuple(place(component).values()) == expected


# --- directions ---


def test_the_text_direction_is_the_difference_of_the_normalised_means(tiny_model):
    model = tiny_model()
    prompts = PromptEnsemble(("{}", "good {}"), ("bad {}", "worn {}"), ("a {}.", "the {}."))
    made = text_direction(model, "nut", prompts)
    means = [
        F.normalize(model.text.encode(t).mean(0), dim=0)
        for t in (
            ["a bad nut.", "the bad nut.", "a worn nut.", "the worn nut."],
            ["a nut.", "the nut.", "a good nut.", "the good nut."],
        )
    ]
    torch.testing.assert_close(made.vector, F.normalize(means[0] - means[1], dim=0))
    drawn = made.draw(6, np.random.default_rng(0))
    torch.testing.assert_close(drawn.norm(dim=1), torch.ones(6))
    assert torch.equal(drawn, made.draw(6, np.random.default_rng(0)))


def test_the_direction_between_class_means_is_the_planted_one():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(200, 8, generator=generator)
    labels = np.arange(200) % 2
    images[:, 3] += torch.from_numpy(20.0 * labels)
    made = class_mean_direction(images, labels)
    assert float(made.vector[3]) > 0.8
    with pytest.raises(MetricError, match="normal and anomalous"):
        class_mean_direction(images, np.zeros(200, int))


def test_directions_that_are_none(tiny_model):
    with pytest.raises(TextBranchError, match="class-means"):
        text_direction(tiny_model("timm"), "nut")
    with pytest.raises(ConfigError, match="4 finite numbers"):
        given_direction(torch.zeros(3), 4)
    with pytest.raises(ConfigError, match="equal"):
        given_direction(torch.zeros(4), 4)
    lone = PromptEnsemble(("good {}",), ("bad {}",), ("a {}.",))
    with pytest.raises(TextBranchError, match="two prompts of one state"):
        text_direction(tiny_model(), "nut", lone)


# --- the study on images ---


@pytest.fixture(scope="module")
def found(tiny_model, tile):
    """A decomposition of the tiles by the tiny model, with its data."""
    from lakeviz.lake import LakeOptions
    from lakeviz.studies.base.capture import capture_study

    options = LakeOptions(k=8, map_size=(24, 24))
    draw = tile.few_shot(3, seed=1)
    data = capture_study(tiny_model(), draw, tile, options=options, points=[3])
    return data, decompose(data, n_random_sets=3, sizes=[1, 4], top=6, bootstrap=FEW)


def test_stored_contributions_sum_to_the_bare_models_score(found):
    data, result = found
    (batch,) = ImageBatches(data.dataset, data.model.preprocess)
    unit = F.normalize(data.model.encode_image(batch.images), dim=1)
    score = (unit @ text_direction(data.model, "tile").vector).numpy()
    table = result.contributions
    for level in ("output", "blocks", "heads"):
        own = table[table["level"] == level].groupby("image", sort=False)["contribution"].sum()
        assert list(own.index) == data.test.sample_ids
        np.testing.assert_allclose(own, score, atol=1e-5)


def test_ablation_is_the_projection_of_the_embedding_with_that_term_replaced(found):
    """Vectors are summed with one replaced, then projected: the long way to the stored answer."""
    from lakeviz.studies.decompose import Decomposer

    data, result = found
    direction = text_direction(data.model, "tile").vector.double()
    decomposer = Decomposer(data.model, torch.float64)
    images = {}
    for name, files in (("test", data.dataset), ("normal", list(data.normal_paths))):
        (batch,) = ImageBatches(files, data.model.preprocess)
        images[name] = decomposer.decompose(batch.images).unit()
    vectors = dict(images["test"].level("blocks"))
    vectors["blocks.1.mlp"] = images["normal"].level("blocks")["blocks.1.mlp"].mean(0, keepdim=True)
    embedding = sum(v.expand(len(data.test), -1) for v in vectors.values())
    scores = (embedding @ direction).numpy()
    rows = result.ablation
    row = rows[(rows["level"] == "blocks") & (rows["component"] == "blocks.1.mlp")].iloc[0]
    measured = data.evaluator((("image", "auroc"),), FEW).measure_scores(scores)
    assert row["value"] == pytest.approx(measured.values["image", "auroc"])


def test_tables_have_category_images_and_controls(found):
    _, result = found
    for name, table in result.tables.items():
        assert table.columns[0] == "category", name
        assert (table["category"] == "tile").all()
    heads = result.components[result.components["kind"] == "head"]
    assert len(heads) == 4 * 4
    assert (heads["n_images"] == 11).all()
    assert len(result.patches) == 11 * 16
    assert set(result.ablation[result.ablation["level"] == "neurons"]["size"]) <= {1, 4}
    assert "minus 3 random directions (" in result.summary()
    assert "random prompts of one state" in result.summary()


def test_results_are_kept_and_joined(found, tmp_path):
    _, result = found
    read = load_study(result.to_parquet(tmp_path / "one"))
    assert isinstance(read, DecomposeResult)
    assert read.summary() == result.summary()
    other = DecomposeResult.from_parquet(tmp_path / "one")
    other.provenance["settings"]["direction"] = "another"
    other.provenance["categories"] = {"nut": {}}
    joined = DecomposeResult.join([result, other])
    assert joined.provenance["settings"]["direction"].endswith("; another")
    assert "Mean over 2 categories" in joined.summary()
    other.provenance["settings"]["top"] = 1
    with pytest.raises(ConfigError, match="cannot be joined"):
        DecomposeResult.join([result, other])


def test_class_means_are_measured_on_the_images_not_held_out(captured, tiny_model):
    data = captured(tiny_model("timm"), [1])
    result = decompose(data, "class-means", n_random_sets=2, sizes=[1], bootstrap=FEW)
    measured = result.provenance["categories"]["tile"]["measured"]
    held, rest = halves(data.truth.labels, 0)
    assert measured == [n for n, keep in zip(data.test.sample_ids, rest, strict=True) if keep]
    assert f"class means of {held.sum()} held-out" in result.summary()
    # Two normal images were measured, which cannot be split again.
    assert (result.components["n_images"] == len(measured)).all()


def test_a_direction_of_ones_own(captured, tiny_model):
    data = captured(tiny_model("timm"), [1])
    made = decompose(data, torch.eye(32)[0], n_random_sets=2, sizes=[1], bootstrap=FEW)
    assert "the direction given" in made.summary()
    assert "random unit vectors" in made.summary()


def test_what_cannot_be_decomposed_is_refused(captured, tiny_model, world):
    with pytest.raises(ConfigError, match="runs the model"):
        decompose(world())
    data = captured(tiny_model("timm"), [1])
    with pytest.raises(TextBranchError, match="no text encoder"):
        decompose(data)
    with pytest.raises(ConfigError, match="text, class-means"):
        decompose(data, "sideways")
    with pytest.raises(ConfigError, match="n_random_sets is 1; it must be at least 2"):
        decompose(data, "class-means", n_random_sets=1)
    with pytest.raises(ConfigError, match="sizes is 0; it must be at least 1"):
        decompose(data, "class-means", sizes=[0])
    resnet = captured(tiny_model("resnet"), ["layer3.0.hook_resid_post"], text_weight=0)
    with pytest.raises(HookError, match="no exact decomposition"):
        decompose(resnet)


def test_one_class_alone_is_refused(tile, tiny_model):
    from lakeviz.lake import LakeOptions
    from lakeviz.studies.base.capture import capture_study

    test = tile.split("test").normal()
    options = LakeOptions(k=8, text_weight=0)
    data = capture_study(tiny_model(), tile.few_shot(3, 1), test, options=options, points=[1])
    with pytest.raises(MetricError, match="of the 3 there are 0 anomalous"):
        decompose(data)
