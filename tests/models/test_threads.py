"""Several threads on one tower: each has its own hooks, and plain calls see none."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from lakeviz.errors import HookError
from lakeviz.models import load_model, weights_removed

POINT = "blocks.1.hook_resid_post"
POINTS = [POINT, "blocks.2.hook_resid_mid", "blocks.0.attn.hook_pattern", "blocks.3.mlp.hook_post"]
SECONDS = 30


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def x(model):
    return torch.randn(2, 3, *model.image_size, generator=torch.Generator().manual_seed(0))


def _together(*works):
    with ThreadPoolExecutor(len(works)) as pool:
        return [f.result(SECONDS) for f in [pool.submit(work) for work in works]]


def test_captures_meet_inside_the_pass_and_are_right(model, x, untouched):
    """Both threads stand in the same hook at the same time, on different images."""
    alone = [model.tower.run_with_cache(one[None], names_filter=POINTS)[1] for one in x]
    for _ in range(3):
        barrier = threading.Barrier(2, timeout=SECONDS)

        def work(one, barrier=barrier):
            cache = {}

            def keep(tensor, hook):
                cache[hook.name] = tensor.clone()
                barrier.wait()

            model.tower.run_with_hooks(one[None], fwd_hooks=[(POINTS, keep)])
            return cache

        for cache, expected in zip(_together(*(lambda one=one: work(one) for one in x)), alone):
            assert cache.keys() == set(POINTS)
            assert all(torch.equal(cache[p], expected[p]) for p in POINTS)
    untouched(model.tower.tower)


@pytest.mark.parametrize("point", POINTS)
def test_a_plain_call_beside_an_editing_hook_is_untouched(model, x, untouched, point):
    plain = model.tower(x)
    inside, done = threading.Event(), threading.Event()

    def edit(tensor, hook):
        inside.set()
        assert done.wait(SECONDS)
        return torch.zeros_like(tensor)

    def beside():
        assert inside.wait(SECONDS)
        try:
            resumed, _ = model.tower.run_from(
                "blocks.2.hook_resid_pre",
                model.tower.run_with_cache(x, names_filter="blocks.2.hook_resid_pre")[1][
                    "blocks.2.hook_resid_pre"
                ],
            )
            return model.tower(x), model.module.visual(x), resumed
        finally:
            done.set()

    edited, others = _together(
        lambda: model.tower.run_with_hooks(x, fwd_hooks=[(point, edit)]), beside
    )
    assert not torch.equal(edited, plain)
    assert torch.equal(edited, model.tower.run_with_hooks(x, fwd_hooks=[(point, _zero)]))
    assert all(torch.equal(other, plain) for other in others)
    untouched(model.tower.tower)


def _zero(tensor, hook):
    return torch.zeros_like(tensor)


def test_lasting_hooks_and_open_blocks_belong_to_their_thread(model, x):
    plain = model.tower(x)
    first, second = threading.Barrier(2, timeout=SECONDS), threading.Barrier(2, timeout=SECONDS)

    def outer():
        with model.tower.hooks([(POINT, _zero)]):
            first.wait()
            second.wait()  # the other's block, opened later, has closed before this one
            return model.tower(x)

    def inner():
        first.wait()
        with model.tower.hooks([("blocks.4.hook_resid_post", _zero)]):
            pass
        output = model.tower(x)
        second.wait()
        return output

    edited, other = _together(outer, inner)
    assert torch.equal(other, plain)
    assert torch.equal(edited, model.tower.run_with_hooks(x, fwd_hooks=[(POINT, _zero)]))
    assert not any(p.has_hooks() for p in model.tower.hook_dict.values())
    model.tower.add_hook(POINT, _zero)
    try:
        assert torch.equal(_together(lambda: model.tower(x))[0], plain)
        assert torch.equal(model.tower(x), edited)
    finally:
        model.tower.reset_hooks()


def test_removed_weights_refuse_other_threads_until_they_are_back(model, x):
    plain = model.tower(x)
    with weights_removed(model.tower, POINT, [3]):
        changed = model.tower(x)
        with weights_removed(model.tower, POINT, [5]), pytest.raises(HookError, match="thread"):
            _together(lambda: model.tower(x))
    assert not torch.equal(changed, plain)
    assert torch.equal(_together(lambda: model.tower(x))[0], plain)


def test_removal_waits_for_a_pass_that_runs(model, x):
    plain = model.tower(x)
    inside, go_on = threading.Event(), threading.Event()

    def wait(tensor, hook):
        inside.set()
        assert go_on.wait(SECONDS)

    def remove():
        assert inside.wait(SECONDS)
        threading.Timer(0.05, go_on.set).start()
        with weights_removed(model.tower, POINT, [3]):
            assert go_on.is_set()

    output, _ = _together(lambda: model.tower.run_with_hooks(x, fwd_hooks=[(POINT, wait)]), remove)
    assert torch.equal(output, plain)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("name", ["tiny", "timm/vit_tiny_patch16_224", "RN50", "convnext_tiny"])
def test_a_model_can_be_copied_and_pickled(name, copied):
    model = load_model(name, None if name == "tiny" else "random")
    again = copied(model)
    assert again.weights_hash == model.weights_hash
    images = torch.zeros(1, 3, *model.image_size)
    point = list(model.tower.points)[1]
    expected, got = (m.tower.run_with_cache(images, names_filter=point)[1] for m in (model, again))
    assert torch.equal(got[point], expected[point])
    if name == "tiny":
        assert torch.equal(again.text.encode(["a nut"]), model.text.encode(["a nut"]))
        assert again.untrained(1).weights_hash == model.untrained(1).weights_hash
