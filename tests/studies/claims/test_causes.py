"""Claims 13 to 15, from interventions on pairs: planted circuits, arithmetic, and the edges."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import binom

from lakeviz.errors import ConfigError
from lakeviz.lake.ground_truth import Truth
from lakeviz.metrics.pair_shares import share_difference
from lakeviz.studies.claims import CLAIMS, Case, ClaimSettings, judge_claims
from lakeviz.studies.claims.claims_on_causes import share_effect
from lakeviz.studies.claims.effects import pool
from lakeviz.studies.claims.rules import CONTRADICTED, NOT_MEASURED, SUPPORTED
from lakeviz.studies.patching.words import DEFECT, DENOISING
from lakeviz.units import AutoencoderUnits, save_sae

QUICK = ClaimSettings(
    n_random_sets=3, n_fits=2, n_resamples=50, n_pairs=8, n_exchanged=20, confidence=0.9
)
CAUSES = ("causes_score", "effect_concentrated", "basis_privileged")
WIDE = {"channels": range(8), "weight": 1.6, "noise": 30, "n_defects": 8, "k": 8}
"""The channels that read the defect are those of the highest variance."""


def rows(case: Case, table: str = "verdicts"):
    """Rows of the claims from interventions, by name (and part)."""
    found = getattr(judge_claims([case]), table)
    return found[found["claim"] > 12].set_index(["name", "part"] if table == "parts" else "name")


def identity(point: str) -> AutoencoderUnits:
    """Latents that are the channels, lifted by 100 so that none is cut off."""
    return AutoencoderUnits(
        point, torch.eye(32), torch.zeros(32), torch.eye(32), torch.full((32,), -100.0)
    )


def test_top_variance_neurons_that_alone_read_the_defect_support_all(plant):
    parts = rows(Case(plant(**WIDE)[0], QUICK), "parts")
    for key in [("causes_score", "denoising"), ("causes_score", "noising")]:
        assert parts.loc[key, "verdict"] == SUPPORTED
        assert parts.loc[key, "value"] > 0.5
    assert parts.loc[("effect_concentrated", "faithfulness"), "verdict"] == SUPPORTED
    assert parts.loc[("basis_privileged", "minus_rotated"), "verdict"] == SUPPORTED
    assert set(parts["interval_over"]) == {"pairs", "nothing"}
    assert set(parts["n_images"]) == {8, 0}
    assert parts["n_random_sets"].max() == 20


def test_neurons_of_other_channels_contradict_all(plant):
    found = rows(Case(plant(n_defects=8)[0], QUICK))
    for name in ("causes_score", "effect_concentrated"):
        assert found.loc[name, "verdict"] == CONTRADICTED
    assert found.loc["basis_privileged", "verdict"] != SUPPORTED


def test_effects_are_those_of_the_study(plant):
    case = Case(plant(n_defects=5)[0], QUICK)
    sets = case.exchanged
    assert not isinstance(sets, str)
    own, random = (sets.moved(name, DENOISING)[DEFECT] for name in ("variance", "random"))
    found = CLAIMS[12].measure([case])[DENOISING]
    full = sets.full[DEFECT]
    expected, _ = share_difference(own.mean(1), random, full, 0.99, one_more=False)
    assert found.at(0.99) == expected
    apart = (own - random).sum(-1) / full.sum(-1, keepdims=True)
    assert found.gaps == pytest.approx(apart.mean(0))


def test_latents_are_compared_where_they_are_given(plant, tmp_path):
    data, point = plant(**WIDE)
    save_sae(identity(point), tmp_path / "sae")
    given = replace(QUICK, sae=str(tmp_path / "sae"))
    case = Case(data, given)
    latents = case.exchanged_latents
    assert not isinstance(latents, str)
    own, other = (one.moved("variance", DENOISING)[DEFECT] for one in (case.exchanged, latents))
    np.testing.assert_allclose(other, own, rtol=1e-3)
    part = rows(case, "parts").loc[("basis_privileged", "minus_latents")]
    assert part["value"] == pytest.approx(0, abs=1e-3)
    assert part["verdict"] == CONTRADICTED  # neurons carry no more than these latents
    without = rows(Case(data, QUICK))
    assert without.loc["basis_privileged", "verdict"] == SUPPORTED
    assert "no sparse autoencoder was given" in without.loc["basis_privileged", "reason"]
    wrong = replace(identity(point), point="blocks.1.hook_resid_post")
    save_sae(wrong, tmp_path / "wrong")
    reason = Case(data, replace(QUICK, sae=str(tmp_path / "wrong"))).exchanged_latents
    assert "blocks.1.hook_resid_post" in reason
    assert "nowhere" in str(Case(data, replace(QUICK, sae="nowhere")).exchanged_latents)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": None}, "interventions run the model"),
        ({"dataset": None}, "image files"),
    ],
)
def test_what_is_missing_is_a_reason(plant, change, said):
    found = rows(Case(replace(plant()[0], **change), QUICK))
    assert (found["verdict"] == NOT_MEASURED).all()
    assert found["reason"].str.startswith("not tested, because").all()
    assert found["reason"].str.contains(said).all()


def test_no_masks_few_pairs_or_too_many_neurons_are_reasons(plant):
    data, _ = plant(n_defects=2)
    bare = replace(data.dataset, frame=data.dataset.frame.assign(mask_path=None))
    truth = Truth(data.truth.labels, reason="there are no masks")
    for case, said in (
        (Case(replace(data, dataset=bare, truth=truth), QUICK), "mask"),
        (Case(data, QUICK), "there are 2 pairs, and an interval needs 3"),
        (Case(data, replace(QUICK, n_pairs=0)), "no pairs were asked for"),
        (Case(data.view(options=replace(data.options, k=20)), QUICK), "more than half"),
        (Case(data.view(options=replace(data.options, k=32)), QUICK), "all 32 channels"),
    ):
        found = CLAIMS[12].measure([case])
        assert not [part for part in found.values() if np.isfinite(part.at(0.9).value)]
        assert said in found[DENOISING].reason
    with pytest.raises(ConfigError, match="needs 3 pairs"):
        ClaimSettings(n_pairs=2)


def test_twins_that_change_nothing_leave_nothing_to_share(plant):
    """Every second twin scores higher than its defect image."""
    case = Case(plant(n_defects=8)[0], QUICK)
    sets = case.exchanged
    defect, twin = sets.interchange.intact
    turned = np.where(np.arange(8) % 2, 1.0, -0.9) * (defect[DEFECT] - twin[DEFECT])
    sets.interchange.full = {**sets.interchange.full, DEFECT: turned}
    for claim in CLAIMS[12:]:
        reasons = {part.reason for part in claim.measure([case]).values()}
        assert all("not clear of zero: there is nothing to share" in one for one in reasons)


def test_one_more_random_set_is_supported_as_rarely_as_stated():
    """Pairs of other sizes and noise, sets of other shares; the selection is one of them."""
    random, part, supported = np.random.default_rng(0), CLAIMS[12].parts[0], 0
    for _ in range(300):
        full = random.uniform(0.5, 1.5, (2, 20))
        shares = 0.3 + 0.15 * random.standard_normal((1, 11, 1))
        moved = full[:, None] * (shares + 0.1 * random.standard_normal((2, 11, 20)))
        sets = SimpleNamespace(full={DEFECT: full})
        found = pool({"a": share_effect(moved[:, :1], moved[:, 1:], sets)})
        supported += part.judge(found, 0.9) == SUPPORTED
    assert supported <= binom.ppf(0.999, 300, 0.05)
    assert supported > 0
