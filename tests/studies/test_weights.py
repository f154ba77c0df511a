"""Weights knock-outs against capturing anew from a tower whose weights are removed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from lakeviz.activations import Loading
from lakeviz.errors import ConfigError, HookError
from lakeviz.lake import TextOptions, select
from lakeviz.models import weights_removed
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.knockout import weights_engine as weights
from lakeviz.studies.knockout.ablation import Ablation, Condition
from lakeviz.studies.knockout.weights_engine import WeightsEngine

FIRST, SECOND = "blocks.1.hook_resid_post", "blocks.2.hook_resid_post"
MLP = "blocks.3.hook_mlp_out"


def out(point=FIRST, neurons=(2, 5, 11)) -> Condition:
    return (Ablation(point, tuple(neurons), "weights"),)


def everything(data: StudyData):
    return {p: select(s, s.n_channels, "all") for p, s in data.statistics.items()}


def parts_of(knocked) -> dict[str, np.ndarray]:
    return {**knocked.maps, **knocked.image_scores}


def assert_equal_parts(one, other, atol: float = 0.0) -> None:
    one, other = parts_of(one), parts_of(other)
    assert set(one) == set(other)
    for part, scores in one.items():
        np.testing.assert_allclose(scores, other[part], atol=atol, err_msg=part)


def zeroed_writers(data: StudyData, written: dict[str, tuple[int, ...]]):
    """Run the tower with hooks that zero what the writers of some channels put out."""
    read = [*data.points, f"blocks.{data.model.n_blocks - 1}.hook_resid_post"]

    def run(images, normal):
        held, hooks = {}, []
        for block, neurons in written.items():
            names = ["blocks.0.hook_resid_pre"]
            for b in range(int(block) + 1):
                names += [f"blocks.{b}.hook_attn_out", f"blocks.{b}.hook_mlp_out"]

            def zero(tensor, hook, neurons=neurons):
                tensor[..., list(neurons)] = 0
                return tensor

            hooks += [(name, zero) for name in names]

        def hold(tensor, hook):
            held[hook.name] = tensor.clone()

        hooks += [(name, hold) for name in dict.fromkeys(read)]
        return data.model.tower.run_with_hooks(images, fwd_hooks=hooks), held

    return run


@pytest.mark.parametrize("kind", ["clip", "timm"])
@pytest.mark.parametrize("base", ["all", "selected"])
def test_it_equals_zeroing_what_the_writers_put_out(
    tiny_model, captured, long_way, kind, base
) -> None:
    data = captured(tiny_model(kind), [1, 2])
    chosen = data.select(8) if base == "selected" else everything(data)
    # Some of them the detector reads, whatever it selected.
    first = (*data.select(8)[FIRST].channels[:2].tolist(), 5)
    second = tuple(c for c in (3, 17, 20) if c not in first)
    engine = WeightsEngine(data, base=base)
    one, both, intact = engine.run([out(FIRST, first), out(FIRST, first) + out(SECOND, second), ()])
    for found, written in ((one, {"1": first}), (both, {"1": first, "2": second})):
        expected = long_way(data, zeroed_writers(data, written), chosen)
        for part, scores in parts_of(found).items():
            np.testing.assert_allclose(scores, expected[part], atol=1e-5, err_msg=part)
            assert not np.allclose(scores, parts_of(intact)[part], atol=1e-5), part


def test_it_equals_a_study_of_the_tower_without_the_weights(tiny_model, captured) -> None:
    model = tiny_model("clip")
    data = captured(model, [1, 2])
    (found,) = WeightsEngine(data).run([out()])
    with weights_removed(model.tower, FIRST, (2, 5, 11)):
        fresh = captured(model, [1, 2])
    assert not fresh.normal.all(FIRST)[..., [2, 5, 11]].any()
    (visual,) = fresh.visual_maps(fresh.branches([everything(fresh)]))
    np.testing.assert_allclose(found.maps["visual"], visual, atol=1e-5)
    np.testing.assert_allclose(found.maps["text"], fresh.text.patch, atol=1e-5)
    np.testing.assert_allclose(found.image_scores["text_image"], fresh.text.image, atol=1e-5)
    np.testing.assert_allclose(found.maps["lake"], fresh.fuse(visual), atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "timm"])
def test_nothing_removed_is_the_intact_detector(tiny_model, captured, kind) -> None:
    data = captured(tiny_model(kind), [1, 2])
    engine = WeightsEngine(data)
    empty, named = engine.run([(), out(neurons=())])
    (expected,) = data.visual_maps(data.branches([everything(data)]))
    np.testing.assert_allclose(empty.maps["visual"], expected, atol=1e-5)
    assert_equal_parts(empty, named)
    assert_equal_parts(empty, engine.run([()])[0])
    (every,) = WeightsEngine(data, branches=["visual"]).run([out(neurons=range(32))])
    assert np.isfinite(every.maps["visual"]).all()


def test_batches_and_companions_do_not_matter(tiny_model, captured) -> None:
    data = captured(tiny_model("timm"), [1, 2])
    conditions = [out(neurons=[n]) for n in range(3)]
    together = WeightsEngine(data, loading=Loading(batch_size=4)).run(conditions)
    engine = WeightsEngine(data, loading=Loading(batch_size=1))
    for condition, expected in zip(conditions, together, strict=True):
        assert_equal_parts(engine.run([condition])[0], expected, atol=1e-6)
    assert not np.allclose(together[0].maps["visual"], together[1].maps["visual"], atol=1e-6)


def test_more_conditions_than_share_a_pass(tiny_model, captured, monkeypatch) -> None:
    data = captured(tiny_model("timm"), [1])
    conditions = [out(neurons=[n]) for n in (1, 2, 3, 1)]
    expected = WeightsEngine(data, branches=["visual"]).run(conditions)
    monkeypatch.setattr(weights, "_TOGETHER", 2)
    for one, other in zip(
        WeightsEngine(data, branches=["visual"]).run(conditions), expected, strict=True
    ):
        assert_equal_parts(one, other)


def test_the_tower_is_left_as_it_was_also_after_an_error(tiny_model, captured, monkeypatch) -> None:
    model = tiny_model("clip")
    data = captured(model, [1, 2])
    before = {name: (p, p.clone()) for name, p in model.module.named_parameters()}
    engine = WeightsEngine(data)
    engine.run([out()])
    assert engine.impossible(out(), "visual") == ""

    def fail(*_args, **_kwargs):
        raise RuntimeError("in the middle")

    monkeypatch.setattr(type(model.tower), "run_with_cache", fail)
    with pytest.raises(RuntimeError, match="in the middle"):
        engine.run([out(neurons=[7])])
    for name, parameter in model.module.named_parameters():
        same, value = before[name]
        assert parameter is same, name
        assert torch.equal(parameter, value), name
    for module in model.module.modules():
        assert not module._forward_hooks
        assert "forward" not in module.__dict__


def test_impossible_effects_are_named_and_are_none(tiny_model, captured) -> None:
    """The MLP of the last block writes long after the text branch has read block 0."""
    data = captured(tiny_model("clip"), [MLP], text=TextOptions(layer=0))
    engine = WeightsEngine(data)
    condition = out(MLP)
    said = engine.impossible(condition, "text")
    assert said == (
        f"what the text branch reads is computed before the weights that write {MLP} have an effect"
    )
    assert [p for p in engine.branches if engine.impossible(condition, p)] == ["text"]
    assert engine.impossible((), "visual") == "no neuron is knocked out"
    found, intact = (parts_of(k) for k in engine.run([condition, ()]))
    for part, scores in found.items():
        assert np.array_equal(scores, intact[part]) == (part == "text"), part


def test_candidates_and_points(tiny_model, captured) -> None:
    data = captured(tiny_model("timm"), [1, 2])
    engine = WeightsEngine(data, base="selected")
    assert engine.points == (FIRST, SECOND)
    assert np.array_equal(engine.candidates(FIRST), np.sort(data.select(8)[FIRST].channels))
    assert np.array_equal(WeightsEngine(data).candidates(SECOND), np.arange(32))


def test_bad_input(tiny_model, captured, world) -> None:
    data = captured(tiny_model("timm"), [1, 2])
    engine = WeightsEngine(data)
    for wrong, said in (
        (out(neurons=[32]), "has neurons 0 to 31, not 32"),
        (out(MLP), "knocked out at blocks.1.hook_resid_post, blocks.2.hook_resid_post here"),
        (out() + out(neurons=[1]), "named twice"),
        ((Ablation(FIRST, (1,)),), "carries out weights knock-outs, not score"),
    ):
        with pytest.raises(ConfigError, match=said):
            engine.run([wrong])
        with pytest.raises(ConfigError, match=said):
            engine.impossible(wrong, "visual")
    with pytest.raises(ConfigError, match="come without one; make them with capture_study"):
        WeightsEngine(world())
    with pytest.raises(ConfigError, match="name no files"):
        WeightsEngine(replace(data, dataset=None))
    with pytest.raises(HookError, match="of a vision transformer"):
        WeightsEngine(captured(tiny_model("resnet"), ["layer2.0.hook_resid_post"]))
    with pytest.raises(HookError, match=r"ln1\.hook_normalized are not known"):
        WeightsEngine(captured(tiny_model("timm"), ["blocks.1.ln1.hook_normalized"]))
