"""Exchange and steering of units other than neurons; twins of nearest normal patches."""

from __future__ import annotations

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lakeviz.activations import stream_statistics
from lakeviz.errors import CheckpointError, ConfigError
from lakeviz.lake import LakeOptions
from lakeviz.lake.ground_truth import Truth
from lakeviz.metrics import Bootstrap
from lakeviz.models.class_head import ClassHead
from lakeviz.studies import capture_study, load_study, patching
from lakeviz.studies.patching.effects import _edit
from lakeviz.studies.patching.interchange import Interchange
from lakeviz.studies.patching.pairs import NearestPatches
from lakeviz.studies.patching.result import Settings
from lakeviz.studies.patching.setup import make_interchange
from lakeviz.studies.patching.unit_sets import UnitSets
from lakeviz.studies.patching.words import DEFECTS, DENOISING, LOGIT
from lakeviz.units import AutoencoderUnits, rotated, save_sae

POINT = "blocks.0.hook_resid_post"
SMALL = dict(
    n_pairs=4, n_random_sets=2, bootstrap=Bootstrap(n_resamples=20), attribution=False, greedy=0
)


def lifted(point: str, n: int = 32) -> AutoencoderUnits:
    """Latents that are the channels, lifted by 100 so that none is cut off."""
    return AutoencoderUnits(
        point, torch.eye(n), torch.zeros(n), torch.eye(n), torch.full((n,), -100.0)
    )


def test_other_units_stand_beside_neurons(captured, tiny_model, tmp_path, monkeypatch) -> None:
    save_sae(lifted(POINT), tmp_path / "sae")
    data = captured(tiny_model("clip"), [1])
    found = patching(
        data,
        point=POINT,  # not a hook point of the detector
        units=("rotated", "pca", str(tmp_path / "sae")),
        heatmap=False,
        doses=(1.0,),
        **SMALL,
    )
    bases = ["neurons", "rotated units", "principal components", "SAE latents (sae)"]
    assert list(dict.fromkeys(found.effects["basis"])) == bases
    assert set(found.curves["basis"]) - {"untrained tower"} == set(bases)
    own = found.effects.query("readout == 'defect patches'").set_index(
        ["basis", "direction", "units"]
    )
    same = own.loc["SAE latents (sae)"]
    for key, row in same.iterrows():
        assert row["share"] == pytest.approx(own.loc[("neurons", *key), "share"], abs=2e-3)
        if key[1] == "variance":
            assert row["difference"] == pytest.approx(0, abs=2e-3)
    for basis in ("rotated units", "principal components"):
        assert own.loc[(basis, DENOISING, "all"), "share"] == pytest.approx(1, abs=1e-3)
    curves = found.curves.set_index(["basis", "units", "measure", "size"]).sort_index()["share"]
    for measure in ("faithfulness", "completeness"):
        np.testing.assert_allclose(
            curves["SAE latents (sae)", "variance", measure],
            curves["neurons", "variance", measure],
            atol=5e-3,
        )
    steered = found.steering.query("readout == 'defect patches'").set_index("basis")["change"]
    assert steered["SAE latents (sae)"] == pytest.approx(steered["neurons"], abs=2e-3)
    assert "Neurons and other units" in [fig.layout.title.text for fig in found.figures()]
    assert any("SAE latents (sae): " in (one.control or "") for one in found.findings())
    found.to_parquet(tmp_path / "study")
    assert load_study(tmp_path / "study").summary() == found.summary()
    script = Path(__file__).parents[2] / "scripts/patching_table.py"
    monkeypatch.syspath_prepend(str(script.parent))
    arguments = [str(tmp_path / "study"), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    runpy.run_path(str(script), run_name="__main__")
    assert "SAE latents (sae): top variance" in (tmp_path / "patching_real.md").read_text()
    assert "| SAE latents (sae): random |" in (tmp_path / "patching_real_areas.md").read_text()


def test_units_that_do_not_fit_are_refused(captured, tiny_model, tmp_path) -> None:
    data = captured(tiny_model("clip"), [1])
    save_sae(lifted("blocks.2.hook_resid_post"), tmp_path / "elsewhere")
    save_sae(lifted(POINT, 16), tmp_path / "narrow")
    other = replace(lifted(POINT), made={"model_name": "other", "weights_hash": "0"})
    save_sae(other, tmp_path / "other")
    for name, error, said in (
        ("elsewhere", ConfigError, "are of blocks.2.hook_resid_post, and interventions are at"),
        ("narrow", ConfigError, "read 16 channels"),
        ("other", ConfigError, "made for other, and this model is"),
        ("missing", CheckpointError, "there is no SAE"),
    ):
        with pytest.raises(error, match=said):
            patching(data, point=POINT, units=(str(tmp_path / name),), **SMALL)


def test_results_without_bases_are_of_neurons(captured, tiny_model, tmp_path) -> None:
    found = patching(captured(tiny_model("clip"), [1]), heatmap=False, doses=(1.0,), **SMALL)
    bare = {
        name: table.drop(columns="basis", errors="ignore") for name, table in found.tables.items()
    }
    bare["steering"] = bare["steering"].drop(columns="steer")
    bare["curves"] = bare["curves"].iloc[:0]
    before = type(found)(**bare, provenance=found.provenance, notes=found.notes)
    assert set(before.effects["basis"]) == {"neurons"}
    assert before.summary() == found.summary()
    assert len(before.figures()) == 2


# --- the class head ---


def test_the_logit_that_defects_raise_is_read(captured, tiny_model) -> None:
    data = captured(tiny_model("timm"), [1])
    with pytest.raises(ConfigError, match="has no class head"):
        patching(data, class_logit=True, **SMALL)
    names = tuple(f"class {i}" for i in range(32))
    data.model.class_head = ClassHead(torch.eye(32), names, "planted")
    made = make_interchange([data], Settings(n_pairs=4, class_logit=True))
    defect, twin = made.embeddings
    centred = torch.eye(32) - 1 / 32
    raised = ((defect - twin) @ centred.T).mean(0)
    best = int(raised.argmax())
    assert made.pairs.notes[-1] == f"the class logit is that of 'class {best}'"
    np.testing.assert_allclose(made.full[LOGIT].mean(), raised[best], rtol=1e-4)
    last = "blocks.2.hook_resid_post"  # behind what the detector reads
    moved = made.moved(made.run(last, made.exchanged(last, DENOISING)), DENOISING)
    np.testing.assert_allclose(moved[LOGIT], made.full[LOGIT], rtol=1e-3, atol=1e-5)
    found = patching(data, class_logit=True, heatmap=False, doses=(), curves=False, **SMALL)
    everything = found.effects.query("units == 'all'").set_index(["direction", "readout"])
    np.testing.assert_allclose(everything["share"], 1, rtol=1e-3)
    assert (DENOISING, LOGIT) in everything.index


# --- steering ---


@pytest.mark.parametrize("kind", ["neurons", "rotated"])
def test_addition_moves_defect_patches_along_the_units(interchange, kind) -> None:
    made = interchange()
    statistics = stream_statistics(made.model, made.pairs.twins, [POINT], preprocessed=True)[POINT]
    settings = Settings(n_pairs=5, steer="add")
    basis = torch.eye(32)
    if kind == "rotated":
        units = rotated(made.model, POINT)
        basis = units.rows
        made = Interchange(made.model, made.pairs, made.readouts, {POINT: units})
    sets = UnitSets(made, POINT, [statistics], settings, 3)
    chosen = sets.members("variance")[0][0]
    edited = _edit(sets, 2.0)(DENOISING, chosen)
    change = (edited - made.sides(POINT)[0]) @ basis.T
    where = made.group(DEFECTS, POINT)
    spread = torch.from_numpy(np.sqrt(statistics.variance)).float()
    expected = torch.zeros(32)
    expected[chosen.channels] = 2 * spread[chosen.channels]
    torch.testing.assert_close(change[where], expected.expand_as(change[where]), atol=1e-4, rtol=0)
    assert not change[~where].any()


# --- twins of nearest patches ---


def test_a_defect_patch_shows_the_nearest_normal_patch() -> None:
    """Two normal pictures of four patches; the token of the defect points at one of them."""
    pictures = torch.rand(2, 3, 4, 4)
    made = NearestPatches(
        [], torch.eye(8).reshape(2, 4, 8), lambda row: 5 * torch.eye(8)[[0, 1, 6, 3]], (2, 2), None
    )
    made._pictures = pictures
    image = torch.rand(3, 4, 4)
    twin = made.twin(0, image, torch.tensor([False, False, True, False]))
    expected = image.clone()
    expected[:, 2:, :2] = pictures[1][:, 2:, :2]  # token 6: picture 1, patch 2
    assert torch.equal(twin, expected)
    made.grid = (3, 3)
    with pytest.raises(ConfigError, match="divide the picture"):
        made.twin(0, image, torch.tensor([True] * 9))


def test_twins_of_nearest_patches_need_no_masks(captured, tiny_model, tile) -> None:
    data = captured(tiny_model("timm"), [1])
    found = patching(data, twins="nearest", heatmap=False, doses=(), curves=False, **SMALL)
    assert set(found.pairs["twin"]) == {"nearest"}
    assert any("twins are nearest" in note for note in found.notes)
    everything = found.effects.query("units == 'all' and readout == 'defect patches'")
    np.testing.assert_allclose(everything["share"], 1, rtol=1e-4)
    bare = replace(tile, frame=tile.frame.assign(mask_path=None))
    without = capture_study(
        data.model, tile.few_shot(2), bare, options=LakeOptions(k=4, map_size=(8, 8)), points=[1]
    )
    assert isinstance(without.truth, Truth)
    found = patching(without, twins="nearest", heatmap=False, doses=(), curves=False, **SMALL)
    assert any("there are no masks" in note for note in found.notes)
    assert set(found.pairs["n_defect_patches"]) == {1}  # 5 % of 16 patches
    assert (found.pairs.query("readout == 'defect patches'").eval("defect - without") > -1e-3).all()
