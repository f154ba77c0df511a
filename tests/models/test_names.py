"""The strict layer in front of TransformerLens: nothing is silently empty."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from transformer_lens import ActivationCache, HookedRootModule

from lakeviz.errors import CaptureTooLargeError, HookError, UnknownHookPointError
from lakeviz.models.hooks.hook_points import resolve_names

KNOWN = [
    "hook_ln_pre",
    "blocks.0.hook_resid_post",
    "blocks.0.hook_mlp_out",
    "blocks.1.hook_resid_post",
]


@pytest.mark.parametrize(
    "names_filter, expected",
    [
        ("hook_ln_pre", KNOWN[:1]),
        ("blocks.*.hook_resid_post", [KNOWN[1], KNOWN[3]]),
        ("blocks.[1-9].*", [KNOWN[3]]),
        ([KNOWN[3], KNOWN[0]], [KNOWN[0], KNOWN[3]]),
        ({KNOWN[2]}, [KNOWN[2]]),
        (("blocks.0.*", "hook_*"), KNOWN[:3]),
        (lambda name: name.endswith("mlp_out"), [KNOWN[2]]),
    ],
)
def test_every_form_of_filter_resolves_in_forward_order(names_filter, expected):
    assert resolve_names(names_filter, KNOWN) == expected


@pytest.mark.parametrize(
    "names_filter", ["blocks.0.hook_resid_pst", ["hook_ln_pre", "blocks.9.*"], [], lambda n: False]
)
def test_a_filter_that_finds_nothing_raises(names_filter):
    with pytest.raises(UnknownHookPointError):
        resolve_names(names_filter, KNOWN)


def test_the_nearest_name_is_given():
    with pytest.raises(UnknownHookPointError, match=r"nearest: blocks\.0\.hook_resid_post"):
        resolve_names("blocks.0.hook_resid_pst", KNOWN)


@pytest.mark.parametrize("bad", ["blocks.3.hook_resid_post", "blocks.*.hook_resid_pots"])
def test_a_bad_name_raises_everywhere_and_leaves_nothing(plain, untouched, bad):
    noop = [("hook_ln_pre", lambda t, hook: None), (bad, lambda t, hook: None)]
    with pytest.raises(UnknownHookPointError):
        plain.hooked.run_with_cache(plain.images, names_filter=bad)
    with pytest.raises(UnknownHookPointError):
        plain.hooked.run_with_hooks(plain.images, fwd_hooks=noop)
    with pytest.raises(UnknownHookPointError), plain.hooked.hooks(bwd_hooks=noop):
        pass
    with pytest.raises(UnknownHookPointError):
        plain.hooked.add_hook(bad, lambda t, hook: None)
    with pytest.raises(UnknownHookPointError):
        plain.hooked(plain.images, stop_at=bad)
    untouched(plain.bare)
    assert not any(point.has_hooks() for point in plain.hooked.hook_dict.values())


def test_everything_has_to_be_asked_for_and_says_its_size(plain, caplog):
    with pytest.raises(CaptureTooLargeError, match=r"52 hook points of 2 images take 0\.3 MiB"):
        plain.hooked.run_with_cache(plain.images)
    _, cache = plain.hooked.run_with_cache(plain.images, everything=True)
    held = sum(t.numel() * t.element_size() for t in cache.values())
    assert held == plain.hooked.capture_bytes(plain.hooked.points, 2)
    assert "0.3 MiB" in caplog.text


def test_it_is_a_transformer_lens_module_with_its_cache(plain):
    assert isinstance(plain.hooked, HookedRootModule)
    _, cache = plain.hooked.run_with_cache(plain.images, names_filter="blocks.*.hook_resid_post")
    assert isinstance(cache, ActivationCache)
    assert torch.equal(cache["resid_post", -1], cache["blocks.2.hook_resid_post"])


def test_cache_options_of_transformer_lens(plain):
    name = "blocks.0.hook_resid_post"
    _, cache = plain.hooked.run_with_cache(plain.images, names_filter=name)
    _, single = plain.hooked.run_with_cache(
        plain.images[:1], names_filter=name, remove_batch_dim=True, pos_slice=(1, 5)
    )
    torch.testing.assert_close(single[name], cache[name][0, 1:5])
    with pytest.raises(HookError, match="batch of one"):
        plain.hooked.run_with_cache(plain.images, names_filter=name, remove_batch_dim=True)
    with pytest.raises(HookError, match="incl_bwd"):
        plain.hooked.run_with_cache(plain.images, names_filter=name, incl_bwd=True)
    with pytest.raises(HookError, match=r"stop_at='blocks\.L\.hook_resid_post'"):
        plain.hooked.run_with_cache(plain.images, names_filter=name, stop_at_layer=2)
    with pytest.raises(HookError, match="no loss"):
        plain.hooked(plain.images, return_type="loss")
    with pytest.raises(TypeError, match="'remove_batch'"):
        plain.hooked.run_with_hooks(plain.images, remove_batch=True)
    plain.hooked.run_with_cache(plain.images, names_filter=name, incl_bwd=False)  # its default


def test_lasting_hooks_and_their_removal(plain, untouched):
    plain.hooked.add_hook("blocks.*.hook_mlp_out", lambda tensor, hook: tensor * 0)
    edited = plain.hooked(plain.images)
    assert not torch.allclose(edited, plain.output)
    assert len(plain.hooked.list_hooks()) == 3
    plain.hooked.reset_hooks()
    assert torch.equal(plain.hooked(plain.images), plain.output)
    untouched(plain.bare)


def test_the_table_of_points(vit):
    table = vit.hooked.hook_points()
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == [
        "name", "module", "shape", "size", "readable", "editable", "formula"
    ]  # fmt: skip
    modules = dict(vit.bare.named_modules())
    assert all(name in modules or name == "(tower)" for name in table.module)
    assert table.name.is_unique
    for suffix in ("hook_resid_pre", "hook_attn_out", "hook_resid_mid", "mlp.hook_post"):
        assert table.name.str.endswith(suffix).sum() == 3
