"""The wrapper against the bare tower: equal at rest, honest under hooks, nothing left behind."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from lakeviz.errors import HookDidNotFireError, HookError, HookNotEditableError
from lakeviz.models.hooks.hook_points import InputTap, Point
from lakeviz.models.hooks.hooked_tower import HookedTower
from lakeviz.models.hooks.taps import read_only

TOLERANCE = {"rtol": 1e-5, "atol": 2e-6}


def test_idle_output_is_bit_equal_and_state_unchanged(case, untouched):
    assert torch.equal(case.hooked(case.images), case.output)
    assert list(case.hooked.state_dict()) == list(case.bare.state_dict())
    untouched(case.bare)


def test_reading_without_heads_leaves_the_output_bit_equal(case):
    names = [n for n in case.hooked.points if ".attn." not in n]
    output, cache = case.hooked.run_with_cache(case.images, names_filter=names, stop_at=None)
    assert torch.equal(output, case.output)
    assert set(cache.keys()) == set(names)


def test_everything_fires_with_the_shape_the_table_gives(case, untouched):
    output, cache = case.hooked.run_with_cache(case.images, everything=True)
    torch.testing.assert_close(output, case.output, **TOLERANCE)
    table = case.hooked.hook_points().set_index("name")
    assert list(cache.keys()) == list(table.index)
    for name, tensor in cache.items():
        assert tuple(tensor.shape[1:]) == table.loc[name, "size"][1:], name
        assert len(table.loc[name, "shape"].split(", ")) == tensor.ndim, name
    untouched(case.bare)


def test_every_editable_point_edits(case, untouched):
    generator = torch.Generator().manual_seed(1)
    table = case.hooked.hook_points()
    for name in table.loc[table.editable, "name"]:

        def noise(tensor, hook):
            return tensor + torch.randn(tensor.shape, generator=generator)

        edited = case.hooked.run_with_hooks(case.images, fwd_hooks=[(name, noise)])
        assert not torch.allclose(edited, case.output, **TOLERANCE), name
    untouched(case.bare)


def test_handing_back_the_same_values_changes_nothing(case):
    hooks = [(name, lambda tensor, hook: tensor.clone()) for name in case.hooked.points]
    output = case.hooked.run_with_hooks(case.images, fwd_hooks=hooks)
    torch.testing.assert_close(output, case.output, **TOLERANCE)


def test_editing_the_embedding_equals_running_on_from_it(case):
    """An edit at block l's input gives what the real modules give from there."""
    name = next(n for n in case.hooked.points if n.endswith("hook_resid_pre"))
    _, cache = case.hooked.run_with_cache(case.images, names_filter=name)
    new = cache[name] * 0.7 + 0.1
    edited = case.hooked.run_with_hooks(case.images, fwd_hooks=[(name, lambda t, hook: new)])
    resumed, _ = case.hooked.run_from(name, new)
    assert torch.equal(edited, resumed)
    assert not torch.allclose(edited, case.output, **TOLERANCE)


def test_run_from_every_residual_point_equals_the_full_run(case, untouched):
    names = [n for n in case.hooked.points if n.endswith(("hook_resid_pre", "hook_resid_post"))]
    _, cache = case.hooked.run_with_cache(case.images, names_filter=names)
    for name in names:
        output, _ = case.hooked.run_from(name, cache[name])
        torch.testing.assert_close(output, case.output, **TOLERANCE)
    for first, later in pairwise(names):
        _, resumed = case.hooked.run_from(first, cache[first], names_filter=later)
        torch.testing.assert_close(resumed[later], cache[later], **TOLERANCE)
    untouched(case.bare)


def test_run_from_runs_only_the_blocks_after(plain):
    calls = _count_calls(plain)
    _, cache = plain.hooked.run_with_cache(
        plain.images, names_filter="blocks.0.hook_resid_post", stop_at=None
    )
    calls[:] = [0, 0, 0]
    plain.hooked.run_from("blocks.0.hook_resid_post", cache["resid_post", 0])
    attention = calls[:]
    assert attention == [0, 1, 1]


def test_run_from_with_a_hook_equals_the_hooked_full_run(plain):
    def halve(tensor, hook):
        return tensor * 0.5

    hooks = [("blocks.2.hook_mlp_out", halve)]
    expected = plain.hooked.run_with_hooks(plain.images, fwd_hooks=hooks)
    _, cache = plain.hooked.run_with_cache(plain.images, names_filter="blocks.1.hook_resid_post")
    output, _ = plain.hooked.run_from(
        "blocks.1.hook_resid_post", cache["resid_post", 1], fwd_hooks=hooks
    )
    torch.testing.assert_close(output, expected, **TOLERANCE)


def test_run_from_refuses_what_lies_before(plain):
    tensor = torch.zeros(2, 17, 32)
    with pytest.raises(HookError, match="not after"):
        plain.hooked.run_from(
            "blocks.1.hook_resid_post", tensor, names_filter="blocks.0.hook_resid_post"
        )
    with pytest.raises(HookError, match="resumes from"):
        plain.hooked.run_from("blocks.1.hook_resid_mid", tensor)


def _count_calls(case) -> list[int]:
    """Count how often each block's MLP really runs."""
    calls = [0] * len(case.bare.transformer.resblocks)

    def count(index):
        def hook(module, args):
            calls[index] += 1

        return hook

    for index, block in enumerate(case.bare.transformer.resblocks):
        block.mlp.register_forward_pre_hook(count(index))
    return calls


def test_early_stop_runs_no_block_after_the_deepest_point(plain):
    calls = _count_calls(plain)
    output, cache = plain.hooked.run_with_cache(
        plain.images, names_filter=["blocks.0.hook_resid_post", "blocks.1.hook_resid_mid"]
    )
    assert output is None
    assert calls == [1, 0, 0]
    assert set(cache.keys()) == {"blocks.0.hook_resid_post", "blocks.1.hook_resid_mid"}


def test_early_stop_can_be_turned_off_or_named(plain):
    calls = _count_calls(plain)
    name = "blocks.0.hook_resid_post"
    output, _ = plain.hooked.run_with_cache(plain.images, names_filter=name, stop_at=None)
    assert torch.equal(output, plain.output)
    assert calls == [1, 1, 1]
    assert plain.hooked(plain.images, stop_at="blocks.1.hook_resid_post") is None
    assert calls == [2, 2, 1]


def test_stopping_leaves_nothing_behind(case, untouched):
    name = next(n for n in case.hooked.points if n.endswith("hook_resid_post"))
    output, _ = case.hooked.run_with_cache(case.images, names_filter=name)
    assert output is None
    untouched(case.bare)
    assert torch.equal(case.hooked(case.images), case.output)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_raising_hook_leaves_nothing_behind(case, error, untouched):
    def fail(tensor, hook):
        raise error("stop")

    names = list(case.hooked.points)
    with pytest.raises(error, match="stop"):
        case.hooked.run_with_hooks(case.images, fwd_hooks=[(names[-3], fail), (names[0], fail)])
    with pytest.raises(error, match="stop"):
        case.hooked.run_from(
            next(n for n in names if n.endswith("hook_resid_post")),
            torch.zeros(1, *case.hooked.points[_first_post(names)].sizes),
            fwd_hooks=[(names[-1], fail)],
        )
    untouched(case.bare)
    assert not any(point.has_hooks() for point in case.hooked.hook_dict.values())
    assert torch.equal(case.hooked(case.images), case.output)


def _first_post(names: list[str]) -> str:
    return next(n for n in names if n.endswith("hook_resid_post"))


def test_a_point_that_is_not_reached_is_an_error(plain, untouched):
    class Unreached(torch.nn.Module):
        def forward(self, x):
            return x

    tap = InputTap(Unreached())
    point = Point("hook_nowhere", tap, ("batch",), (1,), "never", 0)
    plain.hooked.points["hook_nowhere"] = point
    plain.hooked.setup()
    with pytest.raises(HookDidNotFireError, match="hook_nowhere"):
        plain.hooked.run_with_cache(plain.images, names_filter="hook_nowhere")
    untouched(plain.bare)


def test_a_point_beyond_a_named_stop_is_an_error(plain):
    names = ["blocks.2.hook_resid_post"]
    with pytest.raises(HookDidNotFireError, match=r"blocks\.2"):
        plain.hooked.run_with_cache(
            plain.images, names_filter=names, stop_at="blocks.0.hook_resid_post"
        )


def test_a_point_that_is_not_editable_refuses_edits(plain, untouched):
    import dataclasses

    name = "blocks.0.hook_resid_post"
    plain.hooked.points[name] = dataclasses.replace(plain.hooked.points[name], editable=False)
    with pytest.raises(HookNotEditableError, match=name):
        plain.hooked.run_with_hooks(plain.images, fwd_hooks=[(name, lambda t, hook: t + 1)])
    untouched(plain.bare)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_editing_in_place_works_and_rewrites_nothing_cached(case, mode):
    """TransformerLens' idiom (edit in place, return nothing) edits, but never the cache."""
    name = next(n for n in case.hooked.points if n.endswith("hook_resid_post"))
    _, before = case.hooked.run_with_cache(case.images, names_filter=name)

    def zero(tensor, hook):
        tensor[:] = 0

    with mode(), case.hooked.hooks(fwd_hooks=[(name, zero)]):
        output, cache = case.hooked.run_with_cache(case.images, names_filter=name, stop_at=None)
    assert not torch.allclose(output, case.output, **TOLERANCE)
    zeroed = torch.zeros_like(before[name])
    expected, _ = case.hooked.run_from(name, zeroed)
    torch.testing.assert_close(output, expected, **TOLERANCE)
    # The cache was put on after the edit and so sees its result; the earlier one is unharmed.
    assert torch.equal(cache[name], zeroed)
    assert before[name].abs().max() > 0


def test_a_cache_taken_before_an_edit_keeps_the_old_values(plain):
    name = "blocks.0.hook_resid_post"
    seen = {}

    def keep(tensor, hook):
        seen["before"] = tensor

    def overwrite(tensor, hook):
        tensor[:] = 7.0
        return tensor

    plain.hooked.run_with_hooks(
        plain.images, fwd_hooks=[(name, read_only(keep)), (name, overwrite)]
    )
    _, cache = plain.hooked.run_with_cache(plain.images, names_filter=name)
    assert torch.equal(seen["before"], cache[name])


def test_a_read_only_hook_cannot_edit(plain):
    name = "blocks.0.hook_resid_post"
    hook = read_only(lambda tensor, hook: tensor * 0)
    assert torch.equal(
        plain.hooked.run_with_hooks(plain.images, fwd_hooks=[(name, hook)]), plain.output
    )


def test_the_users_own_hooks_stay_and_fire(plain):
    seen = []
    block = plain.bare.transformer.resblocks[1]
    handle = block.attn.register_forward_hook(lambda *_: seen.append("attn"))
    plain.hooked.run_with_cache(
        plain.images, names_filter="blocks.1.attn.hook_pattern", stop_at=None
    )
    assert seen == ["attn"]
    assert handle.id in block.attn._forward_hooks


def test_backward_hooks_see_gradients(plain):
    """d(sum of features) / d(resid_post) from the hook equals autograd's own."""
    name, grads = "blocks.1.hook_resid_post", {}

    def keep(gradient, hook):
        grads["hook"] = gradient.clone()

    images = plain.images.clone().requires_grad_()
    with plain.hooked.hooks(bwd_hooks=[(name, keep)]):
        plain.hooked(images).sum().backward()
    _, cache = plain.hooked.run_with_cache(plain.images, names_filter=name)
    leaf = cache[name].clone().requires_grad_()
    plain.hooked.run_from(name, leaf)[0].sum().backward()
    torch.testing.assert_close(grads["hook"], leaf.grad, **TOLERANCE)


def test_two_wrappers_of_one_tower_do_not_meet(plain):
    other = HookedTower(plain.bare)
    with plain.hooked.hooks(fwd_hooks=[("blocks.0.hook_resid_post", lambda t, hook: t * 0)]):
        assert torch.equal(other(plain.images), plain.output)


def test_a_tower_of_unknown_class_is_refused():
    from lakeviz.errors import ModelError

    with pytest.raises(ModelError, match="Linear"):
        HookedTower(torch.nn.Linear(2, 2))
