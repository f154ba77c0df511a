"""The class head of a timm model as the space of words."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from lakeviz import load_model
from lakeviz.errors import ConfigError, TextBranchError
from lakeviz.metrics import Bootstrap
from lakeviz.models.class_head import ClassHead, class_names
from lakeviz.studies import decompose, dossier

FEW = Bootstrap(n_resamples=20)
POINT = "blocks.1.hook_resid_post"


@pytest.fixture
def with_classes(tiny_model, captured):
    """Tiles on a tower with a class for each channel."""
    model = tiny_model("timm")
    names = tuple(f"class {i}" for i in range(32))
    model.class_head = ClassHead(torch.eye(32), names, "planted")
    return captured(model, [POINT], k=4)


def test_names_of_imagenet_come_with_timm() -> None:
    names, source = class_names(1000)
    assert source == "imagenet-1k"
    assert names[:2] == ("tench", "goldfish")
    assert len(set(names)) == 1000
    assert "crane (n02012849)" in names
    assert class_names(7) == ((), "7 classes of no list that timm has")


def test_the_head_of_a_weights_file_is_kept(tmp_path) -> None:
    torch.manual_seed(0)
    whole = timm.create_model("test_vit", num_classes=1000).eval()
    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    model = load_model("timm/test_vit", str(tmp_path / "model.safetensors"))
    head = model.class_head
    assert head is not None
    images = torch.randn(2, 3, *model.image_size)
    with torch.no_grad():
        bias = whole.get_classifier().bias
        logits = model.tower(images) @ head.weight.T + bias
        assert torch.allclose(logits, whole(images), atol=1e-5)
        last = f"blocks.{model.n_blocks - 1}.hook_resid_post"
        _, cache = model.tower.run_with_cache(images, names_filter=[last], stop_at=None)
        normed = model.project_patches(cache[last])
    assert torch.allclose(normed[:, 0], model.tower(images), atol=1e-5)
    assert head.names[0] == "tench"
    rows = whole.get_classifier().weight
    expected = torch.nn.functional.normalize(rows[1] - rows.mean(0), dim=0)
    assert torch.allclose(head.vectors(["goldfish"])[0], expected, atol=1e-6)
    assert model.untrained(1).class_head is None


def test_the_head_of_downloaded_weights_is_kept(tmp_path, monkeypatch) -> None:
    """What timm downloads is put in its place: a file of its own."""
    torch.manual_seed(0)
    whole = timm.create_model("test_vit", num_classes=1000).eval()
    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    create, overlay = timm.create_model, {"file": str(tmp_path / "model.safetensors")}
    monkeypatch.setattr(
        timm, "create_model", lambda *a, **k: create(*a, **k, pretrained_cfg_overlay=overlay)
    )
    model = load_model("timm/test_vit", True)
    head = model.class_head
    assert head is not None
    images = torch.randn(2, 3, *model.image_size)
    with torch.no_grad():
        logits = model.tower(images) @ head.weight.T + whole.get_classifier().bias
        assert torch.allclose(logits, whole(images), atol=1e-5)
    assert head.names[1] == "goldfish"


def test_neurons_are_named_by_the_class_they_write_to(with_classes) -> None:
    found = dossier(with_classes, k=4, bootstrap=FEW, network_neurons=0, n_random=4)
    first = found.labels.query("rank == 1 and source == 'direction'")
    assert first["word"].tolist() == [f"class {c}" for c in first["channel"]]
    patches = found.labels.query("rank == 1 and source == 'patches' and reason == ''")
    assert patches["p_value"].between(0, 1).all()
    assert found.settings["words"] == "classes of planted"
    assert found.settings["n_words"] == 32
    few = dossier(with_classes, k=4, bootstrap=FEW, network_neurons=0, words=("class 1", "class 2"))
    assert set(few.labels["word"]) == {"class 1", "class 2"}
    with pytest.raises(ConfigError, match="no class 'claas 1'"):
        dossier(with_classes, k=4, network_neurons=0, words=("claas 1", "class 2"))


def test_a_head_without_names_is_said(with_classes) -> None:
    with_classes.model.class_head = ClassHead(torch.eye(32), (), "32 classes of no list")
    with pytest.raises(TextBranchError, match="no text encoder, and its class head has 32 classes"):
        dossier(with_classes, k=4, labels=True)
    with pytest.raises(ConfigError, match="no class head with names"):
        decompose(with_classes, direction="class:cat", bootstrap=FEW)


def test_decomposition_along_a_class(with_classes) -> None:
    found = decompose(
        with_classes, direction="class:class 3", bootstrap=FEW, n_random_sets=3, sizes=(1,), top=3
    )
    row = torch.eye(32)[3] - 1 / 32
    expected = decompose(
        with_classes, direction=row, bootstrap=FEW, n_random_sets=3, sizes=(1,), top=3
    )
    one, other = (next(iter(r.tables.values())) for r in (found, expected))
    np.testing.assert_allclose(one["difference"], other["difference"], rtol=1e-5, atol=1e-7)
    assert "class 'class 3'" in str(found.provenance)
