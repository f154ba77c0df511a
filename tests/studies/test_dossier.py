"""Dossiers: planted and null worlds, knock-outs, labels and their controls, what is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from stored import unseal
from worlds import POINT, World

from lakeviz import load_model
from lakeviz.errors import ConfigError, HookError, SelectionError, TextBranchError
from lakeviz.metrics import Bootstrap
from lakeviz.studies.base.registry import load_study
from lakeviz.studies.dossier import DossierResult, default_words, dossier, read_words
from lakeviz.studies.dossier.joint_space import projection, word_vectors, write_directions
from lakeviz.studies.dossier.result import Settings
from lakeviz.studies.dossier.text_labels import (
    alternate,
    direction_similarity,
    direction_tests,
    margins,
    random_directions,
    shuffled_tests,
    specificity,
)
from lakeviz.studies.dossier.vocabulary import check_templates
from lakeviz.studies.knockout.ablation import Ablation
from lakeviz.studies.knockout.score_engine import ScoreEngine

FEW = Bootstrap(n_resamples=100)
# The signal lies in the three neurons of clearly highest variance.
PLANTED = World(shift=3.0, scales=[4.0, 3.5, 3.0, *np.linspace(1.0, 0.5, 13)])


@pytest.fixture(scope="module")
def planted() -> DossierResult:
    return dossier(PLANTED.data(k=3), bootstrap=FEW, n_random=6)


def test_planted_neurons_are_told_from_random_ones(planted):
    index = planted.neurons.set_index("channel")
    assert (index.loc[[0, 1, 2], "cliffs_delta_low"] > 0.5).all()
    assert (index[index["group"] == "random"]["cliffs_delta"].abs() < 0.3).all()
    assert (index.loc[[0, 1, 2], "share_excess_low"] > 0).all()
    assert (index.loc[[0, 1, 2], "change_pixel_aupro"] < 0).all()
    rows = planted.activations
    delta = rows[(rows["measure"] == "cliffs_delta") & (rows["group"] == "selected")]
    assert (delta["n_as_large"] == 0).all()
    assert (delta["n_random"] == 6).all()
    first = next(iter(planted.findings()))
    row = planted.groups.set_index("measure").loc["abs_cliffs_delta"]
    assert (first.difference.value, first.difference.low) == (
        row["difference"],
        row["difference_low"],
    )
    assert first.verdict == "higher"
    assert "|Cliff's delta|" in first.sentence()
    assert "48 test images and neurons" in first.sentence()


def test_nothing_is_shown_without_its_control(planted):
    for name in ("activations", "shares", "correlated"):
        table = planted.tables[name]
        assert set(table["group"]) == {"selected", "random"}
        # A random neuron is compared with the other random ones.
        assert (table[table["group"] == "random"]["n_random"] == 5).all()
        assert np.isfinite(table["control_mean"]).all()


def test_a_world_without_signal_is_undecided():
    found = dossier(World(shift=0.0, seed=4).data(k=4), bootstrap=FEW)
    assert next(iter(found.findings())).verdict == "undecided"
    assert (found.neurons["q_value"] > 0.05).mean() > 0.8


def test_the_score_knockout_is_the_engines(planted):
    data = PLANTED.data(k=3)
    engine = ScoreEngine(data, base="all", branches=("visual",))
    evaluator = data.evaluator((("pixel", "aupro"),), FEW)
    intact, without = engine.run([(), (Ablation(POINT, (1,)),)])
    values = [
        evaluator.measure(k.maps["visual"]).values["pixel", "aupro"] for k in (intact, without)
    ]
    found = planted.neurons.set_index("channel").loc[1, "change_pixel_aupro"]
    assert found == pytest.approx(values[1] - values[0], abs=1e-5)


def test_what_was_not_knocked_out_says_why(planted):
    rows = planted.effects[planted.effects["kind"] != "score"]
    assert rows["change"].isna().all()
    assert rows["reason"].str.contains("no forward knock-out|no weights knock-out|first 3").all()


def test_network_knockouts_are_limited_and_say_so(captured):
    data = captured(load_model("tiny"), [1], text_weight=0)
    found = dossier(
        data, k=3, bootstrap=FEW, network_neurons=1, network_images=6, labels=False, n_top=3
    )
    for kind in ("forward", "weights"):
        rows = found.effects[found.effects["kind"] == kind]
        made = rows[rows["change"].notna()]
        assert made.groupby("group")["channel"].nunique().to_dict() == {"selected": 1, "random": 1}
        assert (rows["n_images"] == 6).all()
        left = rows[rows["change"].isna()]["reason"]
        assert left.str.contains("first 1 selected and 1 random").all()
    assert found.patches["crop"].map(lambda crop: isinstance(crop, bytes)).all()


def test_a_metric_at_its_best_value_tells_nothing_and_the_words_say_so(planted):
    """Every knock-out leaves an AUPRO of 1: no loss can show, whatever the interval."""
    flat = {"value": 1.0, "change": 0.0, "change_low": -0.1, "change_high": 0.1}
    best = replace(planted, effects=planted.effects.assign(**flat))
    said = " ".join(best.sentences("category", POINT, 0))
    assert "AUPRO stays at its best value on 48 images, 1: these cannot tell." in said
    losses = [f for f in best._compared(["loss_pixel_aupro"])]
    assert [f.verdict for f in losses] == ["ceiling"]
    assert [f.verdict for f in planted._compared(["loss_pixel_aupro"])] != ["ceiling"]


@pytest.mark.parametrize(
    ("n_controls", "said"),
    [
        (19, "No label from the highest patches can be better than shuffled labels at q < 0.05"),
        (39, "for 1 of 1 selected and 0 of 0 random neurons; no p-value can be below 0.025."),
    ],
)
def test_the_least_p_value_of_labels_is_said(planted, n_controls, said):
    row = {"category": "category", "point": POINT, "channel": 0, "group": "selected", "rank": 1}
    row |= {"source": "patches", "word": "crack", "q_value": 0.03, "reason": ""}
    labelled = replace(planted, labels=pd.DataFrame([row | {"n_controls": n_controls}]))
    assert said in labelled.summary()
    own = labelled.sentences("category", POINT, 0)[-1]
    assert ("no p-value can be below 0.05" in own) == (n_controls == 19)


def test_a_result_comes_back_and_speaks(planted, tmp_path):
    back = load_study(planted.to_parquet(tmp_path / "dossier"))
    assert isinstance(back, DossierResult)
    assert back.summary() == planted.summary()
    assert back.sentences("category", POINT, 0) == planted.sentences("category", POINT, 0)
    assert back.labels.empty
    assert any("no text labels" in note for note in back.notes)
    said = " ".join(planted.sentences("category", POINT, 0))
    assert "Rank 1 of 16 by variance; selected" in said
    assert "0 of 6 random neurons" in said
    with pytest.raises(SelectionError, match="no dossier of channel 99"):
        planted.of("category", POINT, 99)


def test_a_result_of_protocol_1_is_read(planted, tmp_path):
    folder = planted.to_parquet(tmp_path / "dossier")
    old = {"n_random": "n_draws", "control_min": "control_low", "control_max": "control_high"}
    for name in ("activations", "shares", "effects", "correlated"):
        path = folder / f"{name}.parquet"
        # There were no draws of the normal images then: n_draws were random neurons.
        table = pd.read_parquet(path).drop(columns="n_draws", errors="ignore")
        table.rename(columns=old).to_parquet(path)
    unseal(folder / "study.json", protocol="lakeviz-study/1")
    back = load_study(folder)
    assert back.sentences("category", POINT, 0) == planted.sentences("category", POINT, 0)
    pd.testing.assert_frame_equal(back.shares, planted.shares)


# --- labels ---


@pytest.fixture(scope="module")
def model():
    return load_model("tiny")


def test_the_projection_is_the_frozen_norms_closed_form(model):
    token = torch.randn(192, generator=torch.Generator().manual_seed(0))
    tower = model.tower.tower
    deviation = (token.var(unbiased=False) + tower.ln_post.eps).sqrt()
    centring = torch.eye(192) - 1 / 192
    wanted = (tower.proj.T * tower.ln_post.weight) @ centring / deviation
    assert torch.allclose(projection(model, token), wanted.detach(), atol=1e-5)


def test_mlp_neurons_write_along_their_weights(model):
    directions = write_directions(model, "blocks.2.mlp.hook_post")
    weight = model.tower.adapter.blocks[2].mlp_write.weight
    assert torch.equal(directions, weight.detach().T)
    assert torch.equal(write_directions(model, "blocks.2.hook_resid_post"), torch.eye(192))
    with pytest.raises(HookError, match="along no one direction"):
        write_directions(model, "blocks.2.attn.hook_z")


def test_a_planted_direction_finds_its_word_and_beats_random_ones():
    generator = torch.Generator().manual_seed(1)
    matrix = torch.randn(12, 40, generator=generator)
    words = torch.nn.functional.normalize(torch.randn(30, 12, generator=generator), dim=1).numpy()
    everything = direction_similarity(torch.eye(40), matrix, words)
    # What the projection takes to word 7 exactly.
    planted = torch.linalg.pinv(matrix) @ torch.from_numpy(words[7])
    own = direction_similarity(planted[None], matrix, words)
    assert own[0, 7] == pytest.approx(1, abs=1e-4)
    assert margins(own, everything)[0].argmax() == 7
    random = direction_similarity(random_directions(500, 40, 0), matrix, words)
    (test,) = direction_tests(own, everything, random)
    assert test.value > np.quantile(test.control, 0.9)


def test_margins_by_hand():
    similarity = np.array([[0.1, 0.5], [0.3, 0.5]])
    assert margins(similarity).tolist() == [[pytest.approx(-1), 0], [pytest.approx(1), 0]]
    assert specificity(margins(similarity)).tolist() == pytest.approx([0.5, 0.5])


def _patches(signal: float, generator: np.random.Generator, n: int = 24):
    """Neurons whose highest patches lean to a word of their own, over ten images each."""
    words = np.linalg.qr(generator.standard_normal((32, 32)))[0][:20]
    vectors, images = [], []
    for neuron in range(n):
        own = generator.standard_normal((20, 32)) / np.sqrt(32) + signal * words[neuron % 20]
        vectors.append(own / np.linalg.norm(own, axis=1, keepdims=True))
        images.append(np.repeat(np.arange(10), 2))
    return vectors, images, words


def test_true_labels_beat_shuffled_ones_and_random_patches_do_not():
    generator = np.random.default_rng(0)
    tests = shuffled_tests(*_patches(1.0, generator), np.zeros(24, int))
    assert all(t.columns()["p_value"] < 0.25 for t in tests)
    assert np.mean([t.columns()["p_value"] <= 2 / 24 + 1e-9 for t in tests]) > 0.9
    null = []
    for _ in range(40):
        null += [
            t.columns()["p_value"]
            for t in shuffled_tests(*_patches(0.0, generator), np.zeros(24, int))
        ]
    # 960 p-values of the null: about 10 % at or below 0.1 (those of one world share words).
    assert 0.05 < np.mean(np.array(null) <= 0.1) < 0.15


def test_patches_of_one_image_confirm_nothing():
    vectors, images, words = _patches(1.0, np.random.default_rng(0))
    images[0] = np.zeros(20, int)
    tests = shuffled_tests(vectors, images, words, np.zeros(24, int))
    assert np.isnan(tests[0].columns()["p_value"])
    assert "single image" in tests[0].reason
    assert tests[1].columns()["n_controls"] == 22
    assert alternate(np.array([5, 5, 2, 9])).tolist() == [True, True, False, True]


def test_labels_of_the_embedded_model(captured, model):
    data = captured(model, [1])
    found = dossier(data, k=3, bootstrap=FEW, network_neurons=0, words=("black", "crack", "wood"))
    first = found.labels[found.labels["rank"] == 1]
    assert set(first["source"]) == {"patches", "direction"}
    assert set(first["word"]) <= {"black", "crack", "wood"}
    tested = first[first["reason"] == ""]
    assert tested["p_value"].between(0, 1).all()
    assert (tested["q_value"] >= tested["p_value"] - 1e-12).all()
    assert {"patches_word", "direction_word"} <= set(found.neurons)
    assert "better than" in found.summary()
    vectors = word_vectors(model, ["black"], ["{}"])
    assert torch.allclose(vectors, model.text.encode(["black"]).float(), atol=1e-6)


def test_labels_without_text_say_what_to_do():
    with pytest.raises(TextBranchError, match=r"take a model with text.*--no-labels"):
        dossier(World().data(k=2), labels=True)


def test_bad_word_lists_say_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match="at least two"):
        dossier(World().data(k=2), words=())
    empty = tmp_path / "empty.txt"
    empty.write_text("# nothing\n\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"empty\.txt holds 0 words"):
        read_words(empty)
    with pytest.raises(ConfigError, match="cannot read the word list"):
        read_words(tmp_path / "none.txt")
    with pytest.raises(ConfigError, match="exactly one"):
        check_templates(["a photo"])
    own = tmp_path / "own.txt"
    own.write_text("# mine\n<b>bold</b>\nknot\nknot\n", encoding="utf-8")
    assert read_words(own) == ("<b>bold</b>", "knot")
    assert Settings(word_list=own).vocabulary() == ("<b>bold</b>", "knot")
    with pytest.raises(ConfigError, match="give one of them"):
        Settings(word_list=own, words=("a", "b"))
    assert len(default_words()) == len(set(default_words())) >= 200


def test_without_masks_effects_are_absent_with_a_reason():
    found = dossier(World(masks=False).data(k=2), bootstrap=FEW)
    assert found.activations["value"].isna().all()
    assert found.activations["reason"].str.contains("masks").all()
    assert any("all patches of anomalous images" in note for note in found.notes)
    assert np.isfinite(found.shares["value"]).all()
