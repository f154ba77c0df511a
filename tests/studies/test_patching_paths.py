"""Exchange of heads and other units, and path patching, against hooks on the bare model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lakeviz.errors import ConfigError
from lakeviz.lake import NeuronSelection
from lakeviz.lake.selection import SubspaceSelection
from lakeviz.metrics import Bootstrap
from lakeviz.studies import load_study, patching
from lakeviz.studies.patching.effects import heads_of
from lakeviz.studies.patching.paths import TOGETHER, Paths, Receiver
from lakeviz.studies.patching.result import Settings
from lakeviz.studies.patching.unit_sets import UnitSets
from lakeviz.studies.patching.words import DEFECT, DENOISING, DIRECTIONS, EMBEDDING, EVERY, IMAGE
from lakeviz.units import LinearUnits

POINT, Z = "blocks.0.hook_resid_post", "blocks.1.attn.hook_z"
SMALL = dict(
    n_pairs=4, n_random_sets=2, bootstrap=Bootstrap(n_resamples=20), curves=False, doses=()
)
UNITS = NeuronSelection(POINT, np.array([3, 11, 20]), np.zeros(3), 32, "own")


def paths(interchange, *receivers: str) -> Paths:
    sets = object.__new__(UnitSets)
    sets.interchange, sets.point, sets.settings = interchange, POINT, Settings(n_pairs=4)
    return Paths(sets, [Receiver.named(name, interchange) for name in receivers])


class ByHand:
    """Block 1 of a timm tower, computed part by part from its modules."""

    def __init__(self, interchange) -> None:
        self.made, self.block = interchange, interchange.model.module.blocks[1]
        self.defect, self.twin = interchange.sides(POINT)
        self.edited = self.defect.clone()
        self.edited[..., UNITS.channels] = self.twin[..., UNITS.channels]

    def z(self, stream):
        kept = {}
        with self.block.attn.proj.register_forward_pre_hook(lambda m, x: kept.update(z=x[0])):
            self.block.attn(self.block.norm1(stream))
        return kept["z"]

    def mlp(self, middle):
        return self.block.mlp(self.block.norm2(middle))

    def score(self, out):
        patches = {"blocks.1.hook_resid_post": out[:, -self.made.pairs.is_defect.shape[1] :]}
        return self.made.readouts.read(patches, None, self.made.pairs.is_defect)[DEFECT]


# --- heads ---


def test_exchanging_a_head_is_exchanging_its_input_to_the_projection(interchange) -> None:
    made = interchange("timm")
    hand = ByHand(made)
    head = heads_of(made.tower, Z)[1]
    assert head.channels.tolist() == list(range(head.k, 2 * head.k))
    with torch.no_grad():
        z, other = hand.z(hand.defect), hand.z(hand.twin)
        z[..., head.channels] = other[..., head.channels]
        middle = hand.defect + hand.block.attn.proj(z)
        expected = hand.score(middle + hand.mlp(middle))
    found = made.run(Z, made.exchanged(Z, DENOISING, EVERY, head))
    np.testing.assert_allclose(found[DEFECT], expected, rtol=1e-4, atol=1e-6)


def test_all_heads_together_are_what_attention_writes(interchange) -> None:
    made = interchange("clip")
    for direction in DIRECTIONS:
        heads, whole = (
            made.run(point, made.exchanged(point, direction), direction)
            for point in (Z, "blocks.1.hook_attn_out")
        )
        for readout, values in whole.items():
            np.testing.assert_allclose(heads[readout], values, rtol=1e-4, atol=1e-6)


def test_heat_map_of_heads(captured, tiny_model, tmp_path) -> None:
    found = patching(
        captured(tiny_model("clip"), [1]), kinds=("resid_post", "head"), attribution=False, **SMALL
    )
    heads = found.heatmap.query("head >= 0 and direction == 'denoising' and readout == @DEFECT")
    heads = heads[heads["tokens"] == EVERY]
    assert list(zip(heads["block"], heads["head"]))[:5] == [
        *(("blocks.0", head) for head in range(4)),
        ("blocks.1", 0),
    ]
    assert heads["reason"].str.contains("lies behind").sum() == 8  # blocks 2 and 3
    first = heads.iloc[0]
    assert np.isfinite(first[["share", "share_low", "share_high"]].astype(float)).all()
    assert len(found.figures()) == 5
    found.to_parquet(tmp_path)
    assert load_study(tmp_path).paths.empty


def test_a_table_that_came_later_is_empty(captured, tiny_model, tmp_path) -> None:
    from lakeviz.files import read_json, write_json

    found = patching(captured(tiny_model("clip"), [1]), heatmap=False, attribution=False, **SMALL)
    found.to_parquet(tmp_path)
    (tmp_path / "paths.parquet").unlink()
    described = read_json(tmp_path / "study.json")
    del described["sha256"]["paths"]
    write_json(tmp_path / "study.json", described, sealed=True)
    back = load_study(tmp_path)
    assert back.paths.empty
    assert back.effects.equals(found.effects)


# --- other units ---


def test_units_other_than_neurons_are_exchanged(interchange) -> None:
    """Rotated units with the identity as rotation are neurons; all but some are the others."""
    made = interchange()
    some = NeuronSelection(POINT, np.array([3, 11]), np.zeros(2), 32, "own")
    others = NeuronSelection(POINT, np.delete(np.arange(32), [3, 11]), np.zeros(30), 32, "own")
    found = made.exchanged(POINT, DENOISING, EVERY, some)
    turned = interchange()
    turned.units = {POINT: LinearUnits(POINT, torch.eye(32).flip(0), "turned", "here")}
    same = NeuronSelection(POINT, np.array([28, 20]), np.zeros(2), 32, "own")
    torch.testing.assert_close(turned.exchanged(POINT, DENOISING, EVERY, same), found)
    span = SubspaceSelection(POINT, np.eye(32)[:, [3, 11]], np.zeros(2), "span")
    torch.testing.assert_close(made.exchanged(POINT, DENOISING, EVERY, span), found)
    but = made.exchanged(POINT, DENOISING, EVERY, some, but=True)
    assert torch.equal(but, made.exchanged(POINT, DENOISING, EVERY, others))


# --- paths ---


def test_a_path_through_an_mlp_is_that_of_the_modules(interchange) -> None:
    """Attention of block 1 stays as it was; its MLP alone reads the changed units."""
    made = interchange("timm")
    hand = ByHand(made)
    moved = paths(made, "1.mlp").moved([[UNITS]], DENOISING)["1.mlp"][DEFECT]
    with torch.no_grad():
        attention = hand.block.attn(hand.block.norm1(hand.defect))
        written = hand.mlp(hand.edited + attention)
        expected = made.intact[0][DEFECT] - hand.score(hand.defect + attention + written)
    np.testing.assert_allclose(moved[:, 0], expected, rtol=1e-3, atol=1e-6)
    assert np.abs(expected).max() > 1e-4


def test_a_path_through_a_head_is_that_of_the_modules(interchange) -> None:
    """The MLP behind the head reads what the head writes, and not the changed units."""
    made = interchange("timm")
    hand = ByHand(made)
    own = heads_of(made.tower, Z)[0].channels
    moved = paths(made, "1.0").moved([[UNITS]], DENOISING)["1.0"][DEFECT]
    with torch.no_grad():
        z = hand.z(hand.defect)
        z[..., own] = hand.z(hand.edited)[..., own]
        middle = hand.defect + hand.block.attn.proj(z)
        expected = made.intact[0][DEFECT] - hand.score(middle + hand.mlp(middle))
    np.testing.assert_allclose(moved[:, 0], expected, rtol=1e-3, atol=1e-6)
    assert np.abs(expected).max() > 1e-5


def test_everything_through_everything_moves_the_embedding(interchange) -> None:
    """Through all parts of the last block, but for what the stream itself carries."""
    made = interchange("timm")
    through = paths(made, "2.0", "2.1", "2.mlp")
    for direction in DIRECTIONS:
        found = through.moved([[None]], direction)
        assert list(found) == ["2.0", "2.1", "2.mlp", TOGETHER]
        assert (found["2.0"][DEFECT] == 0).all()  # read before
        assert through.reaches("2.0", DEFECT).startswith("blocks.2.attn.hook_z lies behind")
        assert through.reaches(TOGETHER, EMBEDDING) == ""
        assert np.abs(found[TOGETHER][EMBEDDING]).min() > 0
    nothing = NeuronSelection(POINT, np.array([0]), np.zeros(1), 32, "same")
    made.sides(POINT)[1][..., 0] = made.sides(POINT)[0][..., 0]
    still = through.moved([[nothing]], DENOISING)[TOGETHER][EMBEDDING]
    np.testing.assert_allclose(still, 0, atol=1e-5)


def test_the_study_of_paths(captured, tiny_model, tmp_path) -> None:
    found = patching(
        captured(tiny_model("clip"), [1]),
        receivers=("1.0", "2.mlp"),
        point=POINT,
        heatmap=False,
        attribution=False,
        **SMALL,
    )
    table = found.paths.set_index(["direction", "receiver", "units", "readout"])
    assert table.index.is_unique
    assert len(table) == 2 * 3 * 2 * 4
    assert np.isfinite(table.loc[(DENOISING, "1.0", "random", DEFECT), "difference"])
    assert np.isfinite(table.loc[(DENOISING, "2.mlp", "variance", EMBEDDING), "share"])
    behind = table.loc[(DENOISING, "2.mlp", "variance", IMAGE)]
    assert np.isnan(behind["share"])
    assert "lies behind" in behind["reason"]
    found.to_parquet(tmp_path)
    assert load_study(tmp_path).paths.equals(found.paths)


@pytest.mark.parametrize(
    ("receivers", "said"),
    [
        (("9.0",), "no receiver '9.0'"),
        (("1.7",), "heads 0 to 3, and no '7'"),
        (("1.x",), "and no 'x'"),
        (("0.mlp",), "does not lie behind"),
    ],
)
def test_bad_receivers(captured, tiny_model, receivers, said) -> None:
    with pytest.raises(ConfigError, match=said):
        patching(captured(tiny_model("clip"), [1]), receivers=receivers, point=POINT, **SMALL)
