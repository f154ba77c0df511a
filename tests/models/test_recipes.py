"""Preprocessing and activation of weights in files: known, or asked for, never guessed."""

from __future__ import annotations

import json
import shutil

import open_clip
import pytest
import timm
import torch
from open_clip.pretrained import _PRETRAINED

from lakeviz.errors import CheckpointError, ConfigError, QuickGELUMismatchError
from lakeviz.models import Preprocess, load_model
from lakeviz.models.load import catalog, recipes
from lakeviz.models.load.catalog import TINY_DIR

OPENAI = (0.48145466, 0.4578275, 0.40821073)
HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize("name", sorted(_PRETRAINED))
def test_every_published_file_gets_the_recipe_of_its_tag(tmp_path, name):
    """Under its published name, the name of its tag, or in a folder named after its repository."""
    entries = catalog.published(name)
    for tag, config in _PRETRAINED[name].items():
        repository = (config.get("hf_hub") or "").strip("/")
        places = [f"{tag}.pt", f"{name}-{tag}.safetensors"]
        if repository:
            snapshot = f"models--{repository.replace('/', '--')}/snapshots/1"
            places += [f"{repository.rpartition('/')[2]}/w.bin", f"{snapshot}/w.bin"]
        if config.get("url"):
            places.append(config["url"].rpartition("/")[2])
        for place in places:
            path = tmp_path / place
            found = catalog.published_as(name, path, entries)
            recipe = recipes.file_recipe(name, path, entries, found)
            kind = (recipe["mean"], recipe["std"], recipe["interpolation"])
            assert kind == (config["mean"], config["std"], config["interpolation"]), place
            assert found["quick_gelu"] == config.get("quick_gelu", False), place


def test_a_file_of_a_model_whose_published_weights_agree_gets_their_recipe(tmp_path):
    entries = catalog.published("MobileCLIP-S1")
    recipe = recipes.file_recipe("MobileCLIP-S1", tmp_path / "w.pt", entries, None)
    assert recipe == {"mean": (0, 0, 0), "std": (1, 1, 1), "interpolation": "bilinear"}
    assert recipes.file_recipe("ViT-S-32-alt", tmp_path / "w.pt", {}, None) is None


def test_where_they_differ_it_is_asked_for(tmp_path):
    entries = catalog.published("ViT-L-14")
    with pytest.raises(CheckpointError, match=r"openai, laion2b_s32b_b82k.*preprocess="):
        recipes.file_recipe("ViT-L-14", tmp_path / "w.pt", entries, None)
    assert recipes.asked_recipe("laion2b_s32b_b82k", "ViT-L-14", entries)["mean"] == HALF
    with pytest.raises(ConfigError, match="laion2b_s32b_b82k"):
        recipes.asked_recipe("laion2b", "ViT-L-14", entries)


@pytest.fixture
def weights(tmp_path):
    """Weights of an architecture without published ones."""
    torch.save(load_model("ViT-S-32-alt", "random").module.state_dict(), tmp_path / "w.pt")
    return tmp_path / "w.pt"


def test_a_configuration_beside_the_file_says_it(weights):
    assert load_model("ViT-S-32-alt", str(weights)).preprocess.mean == OPENAI
    own = {"mean": [0.1, 0.2, 0.3], "std": [1, 2, 3], "interpolation": "bilinear"}
    files = {
        "preprocessor_config.json": {"image_mean": 0.25, "image_std": [1, 1, 2], "resample": 2},
        "open_clip_config.json": {"model_cfg": {}, "preprocess_cfg": own},
    }
    for name, content in files.items():  # the first that is looked at comes last
        (weights.parent / name).write_text(json.dumps(content))
        found = load_model("ViT-S-32-alt", str(weights)).preprocess
        assert found.interpolation == "bilinear"
        assert found.mean == ((0.25,) * 3 if "image_mean" in content else (0.1, 0.2, 0.3))
    (weights.parent / "open_clip_config.json").write_text(
        '{"preprocess_cfg": {"mean": [1], "std": 0}}'
    )
    with pytest.raises(CheckpointError, match="mean must be three numbers"):
        load_model("ViT-S-32-alt", str(weights))


def test_what_the_user_says_is_taken(weights):
    for asked in (
        {"mean": [0.5] * 3, "std": [0.25] * 3},
        Preprocess((9, 9), HALF, (0.25,) * 3),
        str(TINY_DIR / "open_clip_config.json"),
    ):
        model = load_model("ViT-S-32-alt", str(weights), preprocess=asked)
        assert model.preprocess == Preprocess(model.image_size, HALF, (0.25,) * 3)
    with pytest.raises(ConfigError, match="std must be three numbers"):
        load_model("ViT-S-32-alt", str(weights), preprocess={"mean": [0.5] * 3, "std": 0})


def test_a_folder_that_does_not_say_it_is_asked_for_it(tmp_path):
    folder = shutil.copytree(TINY_DIR, tmp_path / "m")
    config = json.loads((folder / "open_clip_config.json").read_text())
    del config["preprocess_cfg"]["mean"]
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="preprocess="):
        load_model(f"local-dir:{folder}")
    model = load_model(f"local-dir:{folder}", preprocess=str(TINY_DIR / "open_clip_config.json"))
    assert model.preprocess.mean == HALF


def test_the_word_openai_in_a_path_asks_and_the_users_choice_stands(weights):
    folder = weights.parent / "openai_comparison"
    folder.mkdir()
    moved = str(weights.rename(folder / "laion2b.pt"))
    with pytest.raises(QuickGELUMismatchError, match=r"quick_gelu=True.*quick_gelu=False"):
        load_model("ViT-S-32-alt", moved)
    for quick in (False, True):
        model = load_model("ViT-S-32-alt", moved, quick_gelu=quick)
        act = model.module.visual.transformer.resblocks[0].mlp.gelu
        assert isinstance(act, open_clip.transformer.QuickGELU) == quick


# --- timm ---


def test_quickgelu_weights_of_timm_are_known_by_file_tag_and_default(tmp_path):
    plain, quick = "vit_base_patch32_clip_224", "vit_base_patch32_clip_quickgelu_224"
    path = tmp_path / f"{plain}.openai.pt"
    path.write_bytes(b"")
    for name in (plain, f"{plain}.openai"):
        with pytest.raises(QuickGELUMismatchError, match=f"timm/{quick}"):
            load_model(f"timm/{name}", str(path))
    with pytest.raises(QuickGELUMismatchError, match=f"timm/{quick}.openai"):
        load_model(f"timm/{plain}.openai", True)
    other = tmp_path / f"{plain}.datacompxl.pt"
    other.write_bytes(b"")
    with pytest.raises(QuickGELUMismatchError, match=f"timm/{plain}"):
        load_model(f"timm/{quick}", str(other))
    with pytest.raises(ConfigError, match=f"timm/{quick}"):
        load_model(f"timm/{plain}", str(path), quick_gelu=True)


def test_recipes_of_timm_files(tmp_path):
    state = timm.create_model("deit_tiny_patch16_224", num_classes=0).state_dict()
    torch.save({"model": state, "epoch": 1}, tmp_path / "w.pth")
    model = load_model("timm/deit_tiny_patch16_224", str(tmp_path / "w.pth"))
    assert model.preprocess.mean == (0.485, 0.456, 0.406)
    entries = catalog.published_timm("vit_base_patch16_224")
    for tag, mean in (("mae", (0.485, 0.456, 0.406)), ("orig_in21k", HALF), ("bamboo", OPENAI)):
        path = tmp_path / f"vit_base_patch16_224.{tag}.safetensors"
        found = catalog.published_as("vit_base_patch16_224", path, entries)
        assert found["tag"] == tag
        assert recipes.file_recipe("", path, entries, found)["mean"] == mean
    (tmp_path / "x.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="preprocess="):
        load_model("timm/vit_base_patch16_224", str(tmp_path / "x.pt"))


# --- forms of files, and messages ---


@pytest.mark.parametrize("wrap", ["model", "state_dict", "model_state_dict"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_wrapped_states_are_unwrapped(weights, wrap, prefix):
    state = torch.load(weights)
    torch.save({wrap: {prefix + k: v for k, v in state.items()}, "epoch": 1}, weights)
    again = load_model("ViT-S-32-alt", str(weights)).module.state_dict()
    assert all(torch.equal(again[k], v) for k, v in state.items())


def test_capital_suffixes_are_read(weights):
    from safetensors.torch import save_file

    path = weights.parent / "W.SAFETENSORS"
    save_file(torch.load(weights), path)
    assert load_model("ViT-S-32-alt", str(path)).n_blocks == 12


def test_a_folder_as_weights_is_told_apart(tmp_path):
    for name in ("ViT-S-32-alt", "timm/vit_tiny_patch16_224"):
        with pytest.raises(CheckpointError, match=f"is a folder.*local-dir:{tmp_path}"):
            load_model(name, str(tmp_path))
