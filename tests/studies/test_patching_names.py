"""The names of ``transformer_lens.patching``."""

from __future__ import annotations

import pytest

from lakeviz.metrics import Bootstrap
from lakeviz.studies import patching
from lakeviz.studies.patching import transformer_lens as names

FEW = dict(n_pairs=3, n_random_sets=2, bootstrap=Bootstrap(n_resamples=10))


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("get_act_patch_resid_pre", {"resid_pre"}),
        ("get_act_patch_attn_out", {"attn_out"}),
        ("get_act_patch_block_every", {"resid_pre", "attn_out", "mlp_out"}),
        ("get_act_patch_attn_head_out_all_pos", {"z"}),
    ],
)
def test_they_return_rows_of_the_heat_map(captured, tiny_model, name, kinds) -> None:
    data = captured(tiny_model("clip"), [1])
    found = getattr(names, name)(data, **FEW)
    assert {point.rpartition("hook_")[2] for point in found["point"]} == kinds
    assert set(found["direction"]) == {"denoising"}
    assert found["share"].notna().any()
    if kinds == {"resid_pre"}:
        whole = patching(
            data, kinds=("resid_pre",), curves=False, attribution=False, doses=(), **FEW
        ).heatmap.query("direction == 'denoising'")
        assert found["share"].tolist() == pytest.approx(whole["share"].tolist(), nan_ok=True)
