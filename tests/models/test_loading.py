"""Every way to a model, with checkpoints the tests write, and every wrong turn."""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip import factory
from safetensors.torch import save_file

from lakeviz.errors import (
    CheckpointError,
    ConfigError,
    DownloadError,
    ModelError,
    QuickGELUMismatchError,
    TextBranchError,
    UnknownModelError,
)
from lakeviz.models import load_model, models_table

VISION = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
CONFIG = {"embed_dim": 16, "vision_cfg": VISION, "text_cfg": TEXT}
NAME = "lakeviz-test-ViT"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Any connection is a failure, unless a test puts its own refusal in front."""

    def refuse(self, address):
        raise OSError(f"the test suite does not use the network: {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(autouse=True)
def tiny_names(tmp_path_factory, monkeypatch):
    """Tiny architectures under names open_clip lists, for the length of a test."""
    folder = tmp_path_factory.mktemp("configs")
    variants = {
        NAME: CONFIG,
        f"{NAME}-quickgelu": CONFIG | {"quick_gelu": True},
        f"{NAME}-wide": CONFIG | {"vision_cfg": VISION | {"width": 64}},
        f"{NAME}-custom": CONFIG | {"custom_text": True},
        f"{NAME}-rn": CONFIG
        | {"vision_cfg": {"image_size": 64, "layers": [1, 1, 1, 1], "width": 8, "head_width": 8}},
        f"{NAME}-timm": CONFIG
        | {
            "vision_cfg": {"timm_model_name": "vit_tiny_patch16_224", "image_size": 224}
            | {"timm_pool": "token", "timm_proj": "linear"}
        },
    }
    for name, config in variants.items():
        (folder / f"{name}.json").write_text(json.dumps(config))
    monkeypatch.setattr(factory, "_MODEL_CONFIG_PATHS", [*factory._MODEL_CONFIG_PATHS, folder])
    monkeypatch.setattr(factory, "_MODEL_CONFIGS", dict(factory._MODEL_CONFIGS))
    factory._rescan_model_configs()


def reference(name: str = NAME, seed: int = 5) -> torch.nn.Module:
    torch.manual_seed(seed)
    return open_clip.create_model(name).eval().requires_grad_(False)


def images(h: int = 32, w: int = 32) -> torch.Tensor:
    return torch.randn(2, 3, h, w, generator=torch.Generator().manual_seed(0))


def write_folder(folder: Path, half: bool = False) -> torch.nn.Module:
    """An open_clip folder: configuration, weights, word-level tokenizer; returns the model."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "a", "photo", "of", "broken", "perfect", "nut"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    text = TEXT | {"vocab_size": len(words), "hf_tokenizer_name": "local", "pool_type": "last"}
    config = {"embed_dim": 16, "vision_cfg": VISION | {"pool_type": "avg"}, "text_cfg": text}
    preprocess = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "interpolation": "bilinear"}
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    )
    torch.manual_seed(3)
    model = open_clip.model.CLIP(**json.loads(json.dumps(config))).eval().requires_grad_(False)
    dtype = torch.float16 if half else torch.float32
    state = {k: v.to(dtype).contiguous() for k, v in model.state_dict().items()}
    save_file(state, str(folder / "open_clip_model.safetensors"))
    model.load_state_dict(state)
    return model


# --- ways in ---


@pytest.mark.parametrize(
    "name, form",
    [
        *((NAME, form) for form in ("safetensors", "pt", "state_dict", "module")),
        (f"{NAME}-custom", "pt"),
        (f"{NAME}-rn", "state_dict"),
        (f"{NAME}-timm", "safetensors"),
    ],
)
def test_checkpoint_files_load_and_equal_the_model_they_came_from(tmp_path, name, form):
    model = reference(name)
    state = model.state_dict()
    path = tmp_path / f"weights.{'safetensors' if form == 'safetensors' else 'pt'}"
    if form == "safetensors":
        save_file({k: v.contiguous() for k, v in state.items()}, str(path))
    elif form == "pt":
        torch.save(state, path)
    elif form == "state_dict":
        torch.save({"epoch": 3, "state_dict": state}, path)
    else:
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    loaded = load_model(name, str(path))
    x = images(*loaded.image_size)
    assert torch.equal(loaded.encode_image(x), model.encode_image(x))
    assert torch.equal(loaded.tower(x), model.visual(x))
    assert list(loaded.module.state_dict()) == list(state)
    assert not any(p.requires_grad for p in loaded.module.parameters())


def test_a_folder_loads_whole_with_its_tokenizer_and_preprocessing(tmp_path):
    model = write_folder(tmp_path)
    loaded = load_model(f"local-dir:{tmp_path}")
    assert torch.equal(loaded.encode_image(images()), model.encode_image(images()))
    assert loaded.preprocess.mean == (0.4, 0.5, 0.6)
    assert loaded.preprocess.interpolation == "bilinear"
    text = loaded.text.encode(["a photo of a broken nut", "perfect nut", "a nut"], batch_size=2)
    tokens = torch.zeros(1, 16, dtype=torch.long)
    tokens[0, :2] = torch.tensor([6, 7])
    expected = torch.nn.functional.normalize(model.encode_text(tokens), dim=-1)
    torch.testing.assert_close(text[1:2], expected)
    torch.testing.assert_close(text.norm(dim=-1), torch.ones(3))
    assert loaded.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)
    with pytest.raises(TextBranchError):
        loaded.text.encode([])
    with pytest.raises(TextBranchError):
        loaded.text.encode(["a nut", " "])


def test_half_precision_weights_on_disk_load_as_fp32(tmp_path):
    model = write_folder(tmp_path, half=True)
    loaded = load_model(f"local-dir:{tmp_path}")
    assert {p.dtype for p in loaded.module.parameters()} == {torch.float32}
    assert torch.equal(loaded.encode_image(images()), model.encode_image(images()))


def test_tiny_is_the_embedded_folder(tmp_path, monkeypatch):
    from lakeviz.models.load import catalog

    model = write_folder(tmp_path)
    monkeypatch.setattr(catalog, "TINY_DIR", tmp_path)
    loaded = load_model()
    assert loaded.name == "tiny"
    assert torch.equal(loaded.encode_image(images()), model.encode_image(images()))


def test_random_weights_come_from_the_seed_and_leave_the_global_generator_alone():
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    first, again = load_model(NAME, "random", seed=1), load_model(NAME, "random", seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.weights_hash == again.weights_hash
    assert first.weights_hash != load_model(NAME, "random", seed=2).weights_hash


def test_loading_leaves_the_programs_logging_as_it_was(caplog):
    root = logging.getLogger()
    handlers, filters = list(root.handlers), list(root.filters)
    load_model(NAME, "random").text.encode(["a nut"])
    assert (root.handlers, root.filters) == (handlers, filters)
    assert not caplog.records  # open_clip's warning that weights are random: they were asked for


def test_a_timm_file_loads_and_equals_timms_own(tmp_path):
    import timm

    torch.manual_seed(4)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=7).eval().requires_grad_(False)
    path = tmp_path / "vit.safetensors"
    save_file(model.state_dict(), str(path))
    loaded = load_model("timm/vit_tiny_patch16_224", str(path))
    x = images(224, 224)
    expected = model.forward_head(model.forward_features(x), pre_logits=True)
    assert torch.equal(loaded.tower(x), expected)
    assert loaded.text is None and loaded.logit_scale is None
    assert (loaded.architecture, loaded.n_prefix_tokens, loaded.n_blocks) == ("timm_vit", 1, 12)


def test_geometry():
    model = load_model(NAME, "random", image_size=(64, 32))
    assert (model.image_size, model.patch_size, model.grid()) == ((64, 32), (8, 8), (8, 4))
    assert (model.n_prefix_tokens, model.n_blocks, model.d_model) == (1, 2, 32)
    _, cache = model.tower.run_with_cache(images(64, 32), names_filter="blocks.1.hook_resid_post")
    prefix, patches = model.split_tokens(cache["resid_post", 1])
    assert prefix.shape == (2, 1, 32) and patches.shape == (2, 32, 32)
    assert model.project_patches(patches).shape == (2, 32, 16)
    assert model.describe()["image_size"] == [64, 32]


# --- image sizes ---


@pytest.mark.parametrize("size", [(64, 64), (48, 16), (16, 64), (64, 16)])
def test_position_embeddings_are_interpolated_on_the_two_dimensional_grid(tmp_path, size):
    """A position embedding linear in row and column stays linear, at every aspect ratio.

    (16, 64) and (64, 16) have as many patches as the native (32, 32), the case open_clip misses.
    """
    model = reference()
    rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(4.0), indexing="ij")
    with torch.no_grad():
        model.visual.positional_embedding.zero_()
        model.visual.positional_embedding[1:, 0] = rows.flatten()
        model.visual.positional_embedding[1:, 1] = columns.flatten()
        model.visual.positional_embedding[0, 2] = 9.0
    torch.save(model.state_dict(), tmp_path / "w.pt")
    loaded = load_model(NAME, str(tmp_path / "w.pt"), image_size=size)
    h, w = size[0] // 8, size[1] // 8
    embedding = loaded.module.visual.positional_embedding
    assert embedding.shape == (h * w + 1, 32)
    assert embedding[0, 2] == 9.0
    grid = embedding[1:, :2].reshape(h, w, 2)
    assert (grid[:, 0, 0].diff() > 0).all() and (grid[0, :, 1].diff() > 0).all()
    torch.testing.assert_close(grid[..., 0], grid[:, :1, 0].expand(h, w))
    torch.testing.assert_close(grid[..., 1], grid[:1, :, 1].expand(h, w))
    assert loaded.tower(images(*size)).shape == (2, 16)


def test_timm_takes_another_size_and_shape(tmp_path):
    loaded = load_model("timm/vit_tiny_patch16_224", "random", image_size=(64, 96))
    assert loaded.grid() == (4, 6)
    assert loaded.tower(images(64, 96)).shape == (2, 192)
    inside = load_model(f"{NAME}-timm", "random", image_size=(64, 96))
    assert inside.tower(images(64, 96)).shape == (2, 16)


@pytest.mark.parametrize(
    "name, size, message",
    [
        (NAME, 33, "nearest: 32"),
        ("timm/vit_tiny_patch16_224", (224, 100), "width 100 .* nearest: 96"),
        (f"{NAME}-timm", (100, 224), "height 100"),
        (f"{NAME}-rn", 128, "must be 64"),
        (NAME, (32, 32, 32), "image_size"),
        (NAME, 0, "image_size"),
    ],
)
def test_image_sizes_that_cannot_be_had(name, size, message):
    with pytest.raises(ConfigError, match=message):
        load_model(name, "random", image_size=size)


# --- precision and device ---


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", [NAME, "timm/vit_tiny_patch16_224", f"{NAME}-timm"])
def test_half_precision_stays_close_to_fp32(name, precision):
    full = load_model(name, "random", image_size=32)
    half = load_model(name, "random", image_size=32, precision=precision)
    assert half.dtype == {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    a, b = full.tower(images()).float(), half.tower(images()).float()
    assert torch.nn.functional.cosine_similarity(a, b).min() > 0.99
    _, cache = half.tower.run_with_cache(images(), names_filter="blocks.1.*")
    assert cache["resid_post", 1].dtype == half.dtype
    if half.text is not None:
        patches = half.split_tokens(cache["resid_post", 1])[1]
        assert half.project_patches(patches).shape == (2, patches.shape[1], 16)


def test_half_precision_the_cpu_cannot_run_is_named(monkeypatch):
    def unsupported(*args, **kwargs):
        raise RuntimeError("\"LayerNormKernelImpl\" not implemented for 'Half'")

    monkeypatch.setattr(torch.nn.functional, "layer_norm", unsupported)
    with pytest.raises(ConfigError, match="cannot run the model in fp16"):
        load_model(NAME, "random", precision="fp16")


@pytest.mark.parametrize("option", [{"precision": "int8"}, {"device": "gpu7"}])
def test_options_that_cannot_be_had(option):
    with pytest.raises(ConfigError):
        load_model(NAME, "random", **option)


# --- wrong turns ---


@pytest.mark.parametrize(
    "name, pretrained, nearest",
    [
        ("ViT-B16", "openai", "ViT-B-16"),
        ("ViT-B-16", "openia", "openai"),
        ("vit_tiny_patch16_224", "random", "timm/vit_tiny_patch16_224 here"),
        ("timm/vit_tiny_patch16_24", "random", "vit_tiny_patch16_224"),
        ("timm/vit_tiny_patch16_224.augreg_in22k", True, "augreg_in21k"),
        ("local-dir:/nowhere/at/all", None, "/nowhere/at/all"),
    ],
)
def test_unknown_names_and_tags(name, pretrained, nearest):
    with pytest.raises(UnknownModelError, match=nearest):
        load_model(name, pretrained)


@pytest.mark.parametrize("name", [NAME, "ViT-B-16", "timm/vit_tiny_patch16_224"])
def test_random_weights_are_never_given_unasked(name):
    with pytest.raises(ModelError, match="random"):
        load_model(name)


def test_names_that_carry_weights_take_no_others(tmp_path):
    write_folder(tmp_path)
    with pytest.raises(ConfigError, match="carries its own weights"):
        load_model(f"local-dir:{tmp_path}", "openai")


def test_a_checkpoint_of_another_architecture_names_model_and_keys(tmp_path):
    save_file(reference(f"{NAME}-wide").state_dict(), str(tmp_path / "wide.safetensors"))
    with pytest.raises(CheckpointError) as caught:
        load_model(NAME, str(tmp_path / "wide.safetensors"))
    text = str(caught.value)
    assert NAME in text and "wide.safetensors" in text
    assert "visual.class_embedding (64,) instead of (32,)" in text
    assert "more" in text and len(text) < 1000


def test_a_foreign_checkpoint_names_missing_and_unexpected_keys(tmp_path):
    save_file({"encoder.weight": torch.zeros(3, 3)}, str(tmp_path / "foreign.safetensors"))
    for name in (NAME, "timm/vit_tiny_patch16_224"):
        with pytest.raises(CheckpointError, match=r"missing: .*unexpected: encoder\.weight"):
            load_model(name, str(tmp_path / "foreign.safetensors"))


def test_a_timm_checkpoint_with_one_tensor_missing_is_refused(tmp_path):
    import timm

    state = timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()
    del state["blocks.3.mlp.fc1.bias"]
    save_file(state, str(tmp_path / "w.safetensors"))
    with pytest.raises(CheckpointError, match=r"missing: blocks\.3\.mlp\.fc1\.bias"):
        load_model("timm/vit_tiny_patch16_224", str(tmp_path / "w.safetensors"))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04]."])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_damaged_file_is_named(tmp_path, content, suffix):
    path = tmp_path / f"damaged.{suffix}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"damaged.{suffix}"):
        load_model(NAME, str(path))


def test_a_pickle_with_code_in_it_is_not_run(tmp_path):
    class Payload:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"state_dict": Payload()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"evil\.pt"):
        load_model(NAME, str(tmp_path / "evil.pt"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", [NAME, "timm/vit_tiny_patch16_224"])
def test_a_file_that_is_not_there_is_no_unknown_tag(tmp_path, name):
    with pytest.raises(CheckpointError, match="no checkpoint file"):
        load_model(name, str(tmp_path / "missing.pt"))


@pytest.mark.parametrize("missing", ["open_clip_config.json", "open_clip_model.safetensors"])
def test_an_incomplete_folder_says_what_is_missing(tmp_path, missing):
    write_folder(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(CheckpointError, match=missing):
        load_model(f"local-dir:{tmp_path}")


# --- QuickGELU ---


def test_quickgelu_mismatch_of_a_tag_is_an_error_before_any_download(monkeypatch):
    monkeypatch.setattr(open_clip, "download_pretrained", lambda *a, **k: pytest.fail("download"))
    with pytest.raises(QuickGELUMismatchError, match="'ViT-L-14-336-quickgelu'"):
        load_model("ViT-L-14-336", "openai")


def test_quickgelu_mismatch_the_other_way_round(tmp_path):
    folder = tmp_path / "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K" / "snapshots" / "1"
    folder.mkdir(parents=True)
    (folder / "open_clip_model.safetensors").write_bytes(b"")
    with pytest.raises(QuickGELUMismatchError, match="use model 'ViT-B-32'"):
        load_model("ViT-B-32-quickgelu", str(folder / "open_clip_model.safetensors"))


@pytest.mark.parametrize(
    "where",
    ["ViT-L-14-336px.pt", "models--timm--vit_large_patch14_clip_336.openai/snapshots/1/w.pt"],
)
def test_quickgelu_mismatch_of_a_local_file_is_seen_by_its_name(tmp_path, where):
    path = tmp_path / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    with pytest.raises(QuickGELUMismatchError, match="ViT-L-14-336-quickgelu"):
        load_model("ViT-L-14-336", str(path))


def test_torchscript_archives_are_openais_and_need_quickgelu(tmp_path):
    model = reference(f"{NAME}-quickgelu")

    class Archive(torch.nn.Module):
        def __init__(self):
            super().__init__()
            for name, child in model.named_children():
                self.add_module(name, child)
            for name, parameter in model.named_parameters(recurse=False):
                self.register_parameter(name, parameter)

        def forward(self, image):
            return self.visual(image)

    path = tmp_path / "archive.pt"
    torch.jit.save(torch.jit.trace(Archive().eval(), images()), str(path))
    with pytest.raises(QuickGELUMismatchError, match=f"{NAME}-quickgelu"):
        load_model(NAME, str(path))
    loaded = load_model(f"{NAME}-quickgelu", str(path))
    assert torch.equal(loaded.encode_image(images()), model.encode_image(images()))


def test_the_activation_can_be_forced_where_no_name_has_it(tmp_path):
    model = reference(f"{NAME}-quickgelu")
    torch.save(model.state_dict(), tmp_path / "w.pt")
    forced = load_model(NAME, str(tmp_path / "w.pt"), quick_gelu=True)
    assert torch.equal(forced.encode_image(images()), model.encode_image(images()))
    plain = load_model(NAME, str(tmp_path / "w.pt"))
    assert not torch.equal(plain.encode_image(images()), model.encode_image(images()))


# --- network ---


def test_a_refused_network_says_what_to_do(monkeypatch, tmp_path):
    def refused(*args, **kwargs):
        raise OSError("connection refused")

    monkeypatch.setattr(open_clip, "download_pretrained", refused)
    with pytest.raises(DownloadError, match="path as pretrained"):
        load_model("ViT-B-16", "laion2b_s34b_b88k", cache_dir=tmp_path)
    import timm

    monkeypatch.setattr(timm, "create_model", refused)
    with pytest.raises(DownloadError, match="weights file"):
        load_model("timm/vit_tiny_patch16_224", True, cache_dir=tmp_path)


def test_a_text_tower_of_the_hub_is_not_fetched_unasked(tmp_path):
    with pytest.raises(DownloadError, match="hub"):
        load_model("roberta-ViT-B-32", "random", cache_dir=tmp_path)


# --- hash and table ---


def test_the_hash_is_of_content_not_of_order():
    from lakeviz.models.vision_model import weights_hash

    first = torch.nn.ModuleDict({"a": torch.nn.Linear(2, 2), "b": torch.nn.Linear(2, 2)})
    second = torch.nn.ModuleDict({"b": first["b"], "a": first["a"]})
    assert weights_hash(first) == weights_hash(second)
    swapped = torch.nn.ModuleDict({"a": first["b"], "b": first["a"]})
    assert weights_hash(first) != weights_hash(swapped)
    assert weights_hash(first) != weights_hash(first.double())


def test_the_hash_is_the_plain_sha256_of_the_documented_bytes():
    import hashlib

    from lakeviz.models.vision_model import weights_hash

    layer = torch.nn.Linear(2, 1)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0]]))
        layer.bias.copy_(torch.tensor([3.0]))
    text = b"bias|torch.float32|(1,)|" + np.array([3.0], "<f4").tobytes()
    text += b"weight|torch.float32|(1, 2)|" + np.array([1.0, 2.0], "<f4").tobytes()
    assert weights_hash(layer) == hashlib.sha256(text).hexdigest()


def test_the_hash_survives_a_reload_and_sees_one_changed_weight(tmp_path):
    write_folder(tmp_path)
    model, again = load_model(f"local-dir:{tmp_path}"), load_model(f"local-dir:{tmp_path}")
    assert model.weights_hash == again.weights_hash
    half = load_model(f"local-dir:{tmp_path}", precision="bf16")
    assert half.weights_hash != model.weights_hash
    again.module.visual.proj.data[0, 0] += 1e-3
    assert again.weights_hash != model.weights_hash
    assert json.loads(json.dumps(model.describe()))["weights_hash"] == model.weights_hash


def test_the_table_lists_every_way_in():
    table = models_table()
    names = set(table.name)
    assert {"tiny", "ViT-B-32", "timm/<name>", "local-dir:<folder>"} <= names
    assert set(open_clip.list_models()) <= names
    row = table.set_index("name").loc["ViT-L-14-336-quickgelu"]
    assert row.n_tags >= 1 and "openai" in row.tags


# --- real weights ---


@pytest.mark.real_data
def test_published_timm_weights_load_strictly_and_equal_timms_own(real_data):
    import timm

    path = real_data / "vit_tiny_patch16_224.safetensors"
    loaded = load_model("timm/vit_tiny_patch16_224", str(path))
    own = timm.create_model("vit_tiny_patch16_224", num_classes=1000).eval().requires_grad_(False)
    timm.models.load_checkpoint(own, str(path), strict=True)
    x = images(224, 224)
    features = own.forward_head(own.forward_features(x), pre_logits=True)
    assert torch.equal(loaded.tower(x), features)


def test_the_embedded_model_loads_offline_through_open_clip_like_any_other():
    from lakeviz.models.load.catalog import TINY_DIR

    model = load_model()
    own = open_clip.create_model(f"local-dir:{TINY_DIR}").eval().requires_grad_(False)
    x = images(*model.image_size)
    assert torch.equal(model.encode_image(x), own.encode_image(x))
    tokenizer = open_clip.get_tokenizer(f"local-dir:{TINY_DIR}")
    prompts = ["a photo of a perfect nut", "a photo of a broken nut"]
    expected = own.encode_text(tokenizer(prompts), normalize=True)
    torch.testing.assert_close(model.text.encode(prompts), expected)
    # Its patch tokens share the joint space: the class token is not what is pooled.
    _, cache = model.tower.run_with_cache(
        x, names_filter=f"blocks.{model.n_blocks - 1}.*resid_post"
    )
    patches = model.split_tokens(cache["resid_post", -1])[1]
    pooled = model.project_patches(patches).mean(dim=1)
    torch.testing.assert_close(pooled, model.encode_image(x), rtol=1e-4, atol=1e-5)
