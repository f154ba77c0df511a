"""Forward knock-outs against hooks on the whole tower, and what they can never reach."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lakeviz.activations import select_tokens
from lakeviz.activations.token_subsets import CapturedTokens
from lakeviz.activations.tokens import as_activation
from lakeviz.data.loading import ImageBatches
from lakeviz.errors import ActivationError, ConfigError, HookError, UnknownHookPointError
from lakeviz.lake import NeuronSelection, TextOptions, VisualOptions, select
from lakeviz.models import HookedTower
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.knockout.ablation import Ablation, Condition
from lakeviz.studies.knockout.forward_engine import ForwardEngine, Replacement

NEURONS = (2, 5, 11)
MIDDLE = "blocks.1.hook_resid_post"


def out(point=MIDDLE, neurons=NEURONS, tokens="all", reference="zero") -> Condition:
    return (Ablation(point, tuple(neurons), "forward", tokens, reference),)


def everything(data: StudyData):
    return {p: select(s, s.n_channels, "all") for p, s in data.statistics.items()}


def parts_of(knocked) -> dict[str, np.ndarray]:
    return {**knocked.maps, **knocked.image_scores}


def assert_equal_parts(one, other, atol: float = 0.0) -> None:
    one, other = parts_of(one), parts_of(other)
    assert set(one) == set(other)
    for part, scores in one.items():
        np.testing.assert_allclose(scores, other[part], atol=atol, err_msg=part)


def hooked(data: StudyData, point: str, edit, read=None):
    """Run the whole tower on images with one hook; read the detector's points."""
    points = list(read or dict.fromkeys([*data.points, f"blocks.{data.model.n_blocks - 1}"]))
    points = [p if p.endswith(("post", "pre")) else p + ".hook_resid_post" for p in points]

    def run(images, normal):
        held = {}

        def hold(tensor, hook):
            held[hook.name] = tensor.clone()

        hooks = [(point, lambda t, hook: edit(t, normal)), *((p, hold) for p in points)]
        return data.model.tower.run_with_hooks(images, fwd_hooks=hooks), held

    return run


# --- equal to the long way ---


@pytest.mark.parametrize("tokens", ["all", "patch", "cls"])
@pytest.mark.parametrize("reference", ["zero", "mean", "resample"])
@pytest.mark.parametrize("kind", ["clip", "timm"])
def test_it_equals_hooks_on_the_whole_tower(
    tiny_model, captured, long_way, kind, tokens, reference
) -> None:
    model = tiny_model(kind)
    data = captured(model, [1, 2])
    engine = ForwardEngine(data, tokens=tokens, reference=reference, seed=3)
    condition = out(tokens=tokens, reference=reference)
    prefix = model.n_prefix_tokens
    rows = {"all": slice(None), "patch": slice(prefix, None), "cls": slice(0, 1)}[tokens]
    normal = data.normal.all(MIDDLE)
    mean = normal.mean(0, keepdim=True)
    mean[:, prefix:] = normal[:, prefix:].mean((0, 1))
    drawn = Replacement("resample", normal, prefix, engine._ids[0], 3)
    channels = list(range(data.n_channels(MIDDLE)))

    def edit(tensor, is_normal):
        if reference == "resample":
            ids = engine._ids[0 if is_normal else 1]
            values = drawn.values(ids, channels, slice(0, tensor.shape[1]))
        else:
            values = (mean if reference == "mean" else 0 * mean).expand_as(tensor)
        for neuron in NEURONS:
            tensor[:, rows, neuron] = values[:, rows, neuron]
        return tensor

    expected = long_way(data, hooked(data, MIDDLE, edit), everything(data))
    found, intact = engine.run([condition, ()])
    assert set(parts_of(found)) == set(expected)
    for part, scores in parts_of(found).items():
        np.testing.assert_allclose(scores, expected[part], atol=1e-5, err_msg=part)
        assert not np.allclose(scores, parts_of(intact)[part], atol=1e-5), part


@pytest.mark.parametrize("reference", ["zero", "mean"])
def test_a_resnet_resumes_too(tiny_model, captured, long_way, reference) -> None:
    """Its tokens are the places of maps, of another size in each stage."""
    model = tiny_model("resnet")
    for name, parameter in model.module.named_parameters():
        if name.endswith("bn3.weight"):  # zero at the start: the branch would write nothing
            parameter.data.fill_(3.0)
    pool = model.module.visual.attnpool
    pool.positional_embedding.data.zero_()  # else it is nearly all there is
    for layer in (pool.v_proj, pool.c_proj):  # and so are the biases
        layer.bias.data.zero_()
    point = "layer2.0.hook_resid_post"
    data = captured(model, [point, "layer3.0.hook_resid_post"])
    mean = data.normal.patches(point).mean((0, 1))[list(NEURONS)]

    def edit(tensor, is_normal):
        tensor[:, list(NEURONS)] = mean[:, None, None] * (reference == "mean")
        return tensor

    run = hooked(data, point, edit, read=data.points)
    expected = long_way(data, run, everything(data))
    engine = ForwardEngine(data, reference=reference)
    found, intact = engine.run([out(point, reference=reference), ()])
    for part in ("visual", "embedding"):
        scores, before = parts_of(found)[part], parts_of(intact)[part]
        np.testing.assert_allclose(scores, expected[part], atol=1e-6, rtol=1e-2)
        assert not np.allclose(scores, before, atol=5e-6, rtol=5e-2), part


@pytest.mark.parametrize("kind", ["clip", "timm"])
@pytest.mark.parametrize("base", ["all", "selected"])
def test_nothing_knocked_out_is_the_intact_detector(tiny_model, captured, kind, base) -> None:
    data = captured(tiny_model(kind), [1, 2])
    chosen = data.select(8) if base == "selected" else everything(data)
    (expected,) = data.visual_maps(data.branches([chosen]))
    empty, named = ForwardEngine(data, base=base).run([(), out(neurons=())])
    np.testing.assert_allclose(empty.maps["visual"], expected, atol=1e-5)
    assert_equal_parts(empty, named)
    if data.text is not None:
        np.testing.assert_allclose(empty.maps["text"], data.text.patch, atol=1e-5)
        np.testing.assert_allclose(empty.image_scores["text_image"], data.text.image, atol=1e-5)
        np.testing.assert_allclose(empty.maps["lake"], data.fuse(expected), atol=1e-5)
    (every,) = ForwardEngine(data, base=base).run([out(neurons=range(32))])
    assert all(np.isfinite(scores).all() for scores in parts_of(every).values())


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_at_its_own_point_zero_is_a_channel_dropped_from_the_score(
    tiny_model, captured, distance
) -> None:
    data = captured(tiny_model("timm"), [1], visual=VisualOptions(distance=distance))
    engine = ForwardEngine(data, branches=["visual"])
    every = everything(data)[MIDDLE]

    @settings(max_examples=10, deadline=None, database=None)
    @given(st.sets(st.integers(0, 31), min_size=1, max_size=31))
    def check(dropped: set[int]) -> None:
        kept = np.array([c for c in range(32) if c not in dropped])
        rest = NeuronSelection(MIDDLE, kept, np.ones(len(kept)), every.n_channels, "rest")
        (expected,) = data.visual_maps(data.branches([{MIDDLE: rest}]))
        (found,) = engine.run([out(neurons=tuple(dropped))])
        np.testing.assert_allclose(found.maps["visual"], expected, atol=1e-5)

    check()


def test_points_before_the_knock_out_stay_as_they_are(tiny_model, captured, tmp_path) -> None:
    """The mean over points holds the map of a point before, unchanged."""
    model = tiny_model("timm")
    data = captured(model, [0, 3], cache=tmp_path)
    folders = sorted(tmp_path.iterdir())
    engine = ForwardEngine(data, point=MIDDLE, branches=["visual"])
    (found,) = engine.run([out()])
    later = ForwardEngine(replace(data, points=data.points[1:]), point=MIDDLE, branches=["visual"])
    (alone,) = later.run([out()])
    first = data.points[0]
    (before,) = data.visual_maps(data.branches([{first: everything(data)[first]}]))
    expected = (before + alone.maps["visual"]) / 2
    np.testing.assert_allclose(found.maps["visual"], expected, atol=1e-6)
    # What was captured for it lies beside the other stores, and is found there again.
    assert len(sorted(tmp_path.iterdir())) == len(folders) + 2
    np.testing.assert_array_equal(later.statistics(MIDDLE).mean, engine.statistics(MIDDLE).mean)
    assert len(sorted(tmp_path.iterdir())) == len(folders) + 2


# --- order, batches, seeds ---


def test_batches_and_companions_do_not_matter(tiny_model, captured) -> None:
    data = captured(tiny_model("timm"), [1, 2])
    conditions = [out(neurons=[n], reference="resample") for n in range(5)]
    engines = [ForwardEngine(data, reference="resample", batch=b) for b in (1, 5, 64)]
    found = [engine.run(conditions) for engine in engines]
    for runs in zip(*found, strict=True):
        assert_equal_parts(runs[0], runs[1], atol=1e-6)
        assert_equal_parts(runs[0], runs[2], atol=1e-6)
    assert not np.allclose(found[0][0].maps["visual"], found[0][1].maps["visual"], atol=1e-6)


def test_the_order_of_images_does_not_matter(tiny_model, captured) -> None:
    data = captured(tiny_model("timm"), [1, 2])

    def turned(tokens: CapturedTokens) -> CapturedTokens:
        flipped = {p: t.flip(0) for p, t in tokens.source.tensors.items()}  # type: ignore[attr-defined]
        ids = tokens.sample_ids[::-1]
        return CapturedTokens(
            replace(tokens.source, tensors=flipped, sample_ids=ids), tokens.n_prefix
        )

    fit = data.provenance["fit"]["sample_ids"][::-1]
    reversed_data = replace(
        data,
        normal=turned(data.normal),
        test=turned(data.test),
        provenance={**data.provenance, "fit": {"sample_ids": fit}},
    )
    condition = [out(reference="resample")]
    (one,) = ForwardEngine(data, reference="resample").run(condition)
    (other,) = ForwardEngine(reversed_data, reference="resample").run(condition)
    for part, scores in parts_of(one).items():
        np.testing.assert_allclose(scores, parts_of(other)[part][::-1], atol=1e-6, err_msg=part)


def test_resampling_is_seeded(tiny_model, captured) -> None:
    data = captured(tiny_model("timm"), [1, 2])
    same, again, other = (
        ForwardEngine(data, reference="resample", seed=s).run([out(reference="resample")])[0]
        for s in (4, 4, 5)
    )
    assert_equal_parts(same, again)
    assert not np.allclose(same.maps["visual"], other.maps["visual"], atol=1e-6)


def test_a_draw_is_another_normal_token_of_the_same_kind() -> None:
    """Values tell where they come from: 1000 image + token, and the channel behind the comma."""
    image, token, channel = torch.arange(3), torch.arange(6), torch.arange(4)
    normal = 1000.0 * image[:, None, None] + token[:, None] + channel / 10
    names = ["c", "a", "b"]
    pool = Replacement("resample", normal, 2, names, seed=0)
    drawn = pool.values([*names, *(f"test {i}" for i in range(200))], [0, 3], slice(0, 6))
    # One token gives all channels.
    torch.testing.assert_close(
        drawn[..., 1] - drawn[..., 0], torch.full((203, 6), 0.3), atol=1e-3, rtol=0
    )
    source = drawn[..., 0].round().long()
    for position in (0, 1):  # a prefix token comes from the same place of another image
        assert (source[:, position] % 1000 == position).all()
        assert set((source[3:, position] // 1000).tolist()) == {0, 1, 2}
        assert all(source[i, position] // 1000 != i for i in range(3))
    patches = source[:, 2:]
    assert ((patches % 1000 >= 2) & (patches % 1000 < 6)).all()
    counts = torch.unique(patches[3:], return_counts=True)[1]
    assert len(counts) == 12  # all normal patches are drawn,
    assert counts.min() > 30  # about 67 times each of 800
    own = 1000 * torch.arange(3)[:, None] + torch.arange(2, 6)
    assert (patches[:3] != own).all()
    # A patch can come from its own image, just not from its own place.
    pools = [Replacement("resample", normal, 2, names, seed) for seed in range(40)]
    many = [pool.values(["a"], [0], slice(2, 6)) for pool in pools]
    assert set((torch.stack(many) // 1000).flatten().tolist()) == {0.0, 1.0, 2.0}
    alone = Replacement("resample", normal[:1], 2, ["c"])
    alone.values(["c"], [0], slice(2, 6))
    with pytest.raises(ConfigError, match="one normal image, so its class token has no other"):
        alone.values(["c"], [0], slice(0, 6))


def test_means_are_by_kind_of_token() -> None:
    normal = torch.tensor([[[1.0], [10], [100], [300]], [[3], [30], [500], [700]]])
    values = Replacement("mean", normal, 2, ["a", "b"]).values(["x"], [0], slice(0, 4))
    assert values.flatten().tolist() == [2, 20, 400, 400]
    zeros = Replacement("zero", normal, 2, ["a", "b"]).values(["x"], [0], slice(1, 4))
    assert zeros.tolist() == [[[0], [0], [0]]]


# --- what cannot be reached ---


def average_pooled(model):
    """The same kind of model, pooling patch tokens instead of the class token."""
    from timm.models.vision_transformer import VisionTransformer

    torch.manual_seed(0)
    shape = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 4, "num_heads": 4}
    tower = VisionTransformer(**shape, num_classes=0, global_pool="avg").eval()
    tower.requires_grad_(False)
    return replace(model, module=tower, tower=HookedTower(tower).eval())


LAST = "blocks.3.hook_resid_post"
INTO_LAST = "blocks.3.hook_resid_pre"


@pytest.mark.parametrize(
    ("pooling", "point", "tokens", "unreached"),
    [
        ("class", LAST, "patch", {"embedding", "text_image"}),
        ("class", LAST, "cls", {"visual", "text", "lake"}),
        ("class", LAST, "all", set()),
        ("class", INTO_LAST, "patch", set()),
        ("class", INTO_LAST, "cls", set()),
        ("average", LAST, "patch", set()),
        ("average", LAST, "cls", {"visual", "embedding"}),
    ],
)
def test_impossible_effects_are_named_and_are_none(
    tiny_model, captured, pooling, point, tokens, unreached
) -> None:
    model = tiny_model("clip") if pooling == "class" else average_pooled(tiny_model("timm"))
    data = captured(model, [LAST])
    engine = ForwardEngine(data, point=point, tokens=tokens)
    condition = out(point, tokens=tokens)
    found, intact = (parts_of(k) for k in engine.run([condition, ()]))
    assert {part for part in engine.branches if engine.impossible(condition, part)} == unreached
    for part in engine.branches:
        assert np.array_equal(found[part], intact[part]) == (part in unreached), part
    for part in unreached:
        said = engine.impossible(condition, part)
        assert said.startswith({"patch": "patch-token", "cls": "class-token"}[tokens])
        assert f"at {point} cannot reach" in said
    # The tower itself agrees: under a hook, what is out of reach is bit-equal.
    images = torch.cat([b.images for b in ImageBatches(data.dataset, model.preprocess)])
    rows = slice(0, 1) if tokens == "cls" else slice(model.n_prefix_tokens, None)
    rows = slice(None) if tokens == "all" else rows

    def edit(tensor, hook):
        tensor[:, rows, list(NEURONS)] = 0
        return tensor

    edited = model.tower.run_with_hooks(images, fwd_hooks=[(point, edit)])
    assert torch.equal(edited, model.tower(images)) == ("embedding" in unreached)


def test_what_lies_before_the_point_is_named(tiny_model, captured) -> None:
    data = captured(tiny_model("clip"), [1, 2], text=TextOptions(layer=0))
    engine = ForwardEngine(data)
    assert "lie before blocks.1.hook_resid_post" in engine.impossible(out(), "text")
    assert engine.impossible(out(), "lake") == engine.impossible(out(), "visual") == ""
    assert engine.impossible((), "visual") == "no neuron is knocked out"
    found, intact = engine.run([out(), ()])
    assert np.array_equal(found.maps["text"], intact.maps["text"])
    np.testing.assert_allclose(found.maps["text"], data.text.patch, atol=1e-6)
    assert not np.array_equal(found.maps["lake"], intact.maps["lake"])


def test_base_selected_keeps_the_detectors_channels(tiny_model, captured) -> None:
    data = captured(tiny_model("timm"), [1])
    engine = ForwardEngine(data, base="selected", branches=["visual"])
    chosen = np.sort(data.select(8)[MIDDLE].channels)
    assert np.array_equal(engine.candidates(MIDDLE), chosen)
    other = [c for c in range(32) if c not in chosen][:3]
    unread, read, intact = engine.run([out(neurons=other), out(neurons=chosen[:3]), ()])
    assert_equal_parts(unread, intact, atol=1e-6)
    assert not np.allclose(read.maps["visual"], intact.maps["visual"], atol=1e-6)
    every = ForwardEngine(data)
    assert np.array_equal(every.candidates(MIDDLE), np.arange(32))
    assert every.points == (MIDDLE,)
    assert every.kind == "forward"


# --- the tower, and as little of it as possible ---


def test_only_the_blocks_between_run_and_nothing_is_left(tiny_model, captured) -> None:
    model = tiny_model("clip")
    data = captured(model, [1, 2])
    calls = []
    blocks = model.tower.tower.transformer.resblocks
    handles = [
        block.mlp.register_forward_pre_hook(lambda m, a, i=i: calls.append(i))
        for i, block in enumerate(blocks)
    ]
    engine = ForwardEngine(data, branches=["visual"])
    engine.run([out(), out(neurons=[1])])
    assert set(calls) == {2}
    calls.clear()
    assert list(parts_of(ForwardEngine(data, branches=["embedding"]).run([out()])[0])) == [
        "embedding"
    ]
    assert set(calls) == {2, 3}
    for handle in handles:
        handle.remove()
    for module in model.tower.tower.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert "forward" not in module.__dict__
    assert not any(p.has_hooks() for p in model.tower.hook_dict.values())


def test_tokens_go_back_into_the_shape_of_their_point(tiny_model) -> None:
    for kind, point in (("clip", MIDDLE), ("resnet", "layer2.0.hook_resid_post")):
        tower = tiny_model(kind).tower
        images = torch.randn(2, 3, *tower.adapter.image_size)
        _, cache = tower.run_with_cache(images, names_filter=point)
        tokens = select_tokens(tower, point, cache[point], "all")
        assert torch.equal(as_activation(tower, point, tokens), cache[point])
        with pytest.raises(ActivationError, match="do not fill"):
            as_activation(tower, point, tokens[:, 1:])


# --- bad input ---


def test_bad_choices(tiny_model, captured, world) -> None:
    data = captured(tiny_model("timm"), [1, 2])
    for wrong, said in (
        ({"base": "some"}, "base must be all or selected"),
        ({"tokens": "patches"}, "tokens of an ablation must be all, patch or cls"),
        ({"reference": "median"}, "reference of an ablation must be zero, mean or resample"),
        ({"branches": ["vision"]}, "no branch 'vision'; known: visual"),
        ({"branches": []}, "no branch was named"),
        ({"branches": ["text"]}, "no branch 'text', because there is no text branch"),
        ({"batch": 0}, "batch must be 1"),
        ({"point": LAST}, "all before blocks.3.hook_resid_post"),
    ):
        with pytest.raises(ConfigError, match=said):
            ForwardEngine(data, **wrong)
    ForwardEngine(data, point=LAST, branches=["embedding"])
    with pytest.raises(UnknownHookPointError, match="nearest"):
        ForwardEngine(data, point="blocks.1.hook_resid_pos")
    with pytest.raises(HookError, match=r"not from blocks\.1\.mlp\.hook_post; name another point"):
        ForwardEngine(data, point="blocks.1.mlp.hook_post")
    with pytest.raises(ConfigError, match="come without one; make them with capture_study"):
        ForwardEngine(world())
    patches_only = replace(data, normal=CapturedTokens(data.normal.source, 0), normal_paths=())
    with pytest.raises(ConfigError, match="no image files to capture them from"):
        ForwardEngine(patches_only).run([out()])


def test_bad_conditions(tiny_model, captured) -> None:
    engine = ForwardEngine(captured(tiny_model("timm"), [1, 2]))
    for wrong, said in (
        (out(neurons=[32]), "has neurons 0 to 31, not 32"),
        (out("blocks.2.hook_resid_post"), "knocked out at blocks.1.hook_resid_post here"),
        (out() + out(neurons=[1]), "named twice"),
        ((Ablation(MIDDLE, (1,)),), "carries out forward knock-outs, not score"),
        (out(tokens="patch"), "replaces all tokens by zero, the condition asks for patch tokens"),
    ):
        with pytest.raises(ConfigError, match=said):
            engine.run([wrong])
        with pytest.raises(ConfigError, match=said):
            engine.impossible(wrong, "visual")


def test_a_tower_without_a_class_token_has_none_to_edit(tiny_model, captured) -> None:
    data = captured(tiny_model("resnet"), ["layer2.0.hook_resid_post"])
    with pytest.raises(ConfigError, match="has no class token to edit"):
        ForwardEngine(data, tokens="cls")


def test_one_normal_image_has_no_other_class_token(tiny_model, captured) -> None:
    data = captured(tiny_model("timm"), [1, 2], shots=1)
    with pytest.raises(ConfigError, match="no other to resample from"):
        ForwardEngine(data, reference="resample").run([out(reference="resample")])
    condition = out(tokens="patch", reference="resample")
    assert ForwardEngine(data, tokens="patch", reference="resample").run([condition])


def test_value_value_text_is_absent_and_says_why(tiny_model, captured) -> None:
    options = TextOptions(attention="value_value", value_blocks=2)
    data = captured(tiny_model("clip"), [1, 2], text=options)
    engine = ForwardEngine(data)
    assert engine.branches == ("visual", "embedding")
    assert "value-value attention" in engine.absent["text"]
    with pytest.raises(ConfigError, match="value-value attention"):
        ForwardEngine(data, branches=["text"])
