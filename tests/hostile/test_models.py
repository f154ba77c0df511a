"""Model files and folders that try to run code: none does, and each is refused in one line."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lakeviz.errors import CheckpointError, LakevizError, ModelError
from lakeviz.models import load_model
from lakeviz.models.load.catalog import TINY_DIR
from lakeviz.models.load.checkpoints import read_state
from lakeviz.models.load.torchscript import read_torchscript

pytestmark = pytest.mark.filterwarnings("ignore")
NAMES = ("ViT-S-32-alt", "timm/vit_tiny_patch16_224")


class Gated(torch.nn.Module):
    """Half precision, a tied weight, a buffer, one that is not persistent, and plain values."""

    def __init__(self):
        super().__init__()
        self.logit_scale = torch.nn.Parameter(torch.tensor(2.5))
        self.inner = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LayerNorm(3))
        self.tied = torch.nn.Linear(3, 3, bias=False)
        self.tied.weight = self.inner[0].weight
        self.register_buffer("narrow", torch.randn(4, 2).half().T)
        self.register_buffer("count", torch.tensor([7, -7]))
        self.register_buffer("input_resolution", torch.tensor(224))
        self.scale, self.sizes, self.table = torch.ones(2), [1, 2], {"a": torch.ones(2)}

    def forward(self, x):
        return self.tied(self.inner(x)) * self.logit_scale + self.table["a"].sum()


class Restoring(torch.nn.Module):
    """Its ``__setstate__`` writes a file: what torch.jit.load runs."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))

    @torch.jit.export
    def __getstate__(self):
        return (self.w, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]):
        self.w = state[0]
        self.training = state[1]
        torch.save(torch.ones(3), "WRITTEN")

    def forward(self, x):
        return x


@pytest.mark.parametrize("how", ["script", "trace"])
def test_tensors_of_torchscript_are_those_of_torch_jit_load(tmp_path, how):
    torch.manual_seed(0)
    module = Gated()
    made = (
        torch.jit.script(module) if how == "script" else torch.jit.trace(module, torch.ones(1, 3))
    )
    torch.jit.save(made, str(tmp_path / "w.pt"))
    expected = torch.jit.load(str(tmp_path / "w.pt")).state_dict()
    del expected["input_resolution"]
    state = read_state(tmp_path / "w.pt")
    assert list(state) == list(expected)
    assert {"narrow", "count", "logit_scale", "tied.weight", "inner.1.bias"} <= state.keys()
    for name, tensor in expected.items():
        assert state[name].dtype == tensor.dtype
        assert torch.equal(state[name], tensor)
    assert state["narrow"].stride() == (1, 2)


@pytest.mark.parametrize("name", NAMES)
def test_torchscript_that_restores_itself_is_refused(lair, harmless, monkeypatch, name):
    monkeypatch.chdir(lair)
    torch.jit.script(Restoring()).save("evil.pt")
    with harmless(), pytest.raises(CheckpointError, match="__setstate__"):
        load_model(name, str(lair / "evil.pt"), quick_gelu=False)
    assert not (lair / "WRITTEN").exists()


def _rewrite(source: Path, target: Path, changes: dict[str, bytes], packed: bool = False) -> Path:
    """Copy an archive with other content under some names."""
    kind = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", kind) as new:
        for entry in old.namelist():
            new.writestr(entry, changes.get(entry.partition("/")[2], old.read(entry)))
    return target


def _foreign_pickles(payload: bytes) -> dict[str, bytes]:
    storage = (
        b"X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu"
    )
    return {
        "command": payload,
        "eval": b"\x80\x02c__builtin__\neval\nX\x06\x00\x00\x00exit()\x85R.",
        "getattr": b"\x80\x02cbuiltins\ngetattr\n(ctorch\nFloatStorage\nX\x04\x00\x00\x00itemt.",
        "torch": b"\x80\x02ctorch.hub\nload\nX\x01\x00\x00\x00a\x85R.",
        "memo": b"\x80\x02}r\xff\xff\xff\x7f.",
        "deep": b"\x80\x02" + b"](" * 100_000 + b".",
        "size": b"\x80\x02(" + storage + b"J\xff\xff\xff\x7ftQ.",
        "outside": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((" + storage + b"K\x01tQ"
        b"K\x00(J\xff\xff\xff\x7ft(K\x01t\x89ccollections\nOrderedDict\n)RtR.",
        "nothing": b"",
        "list": b"\x80\x02].",
    }


@pytest.mark.parametrize("which", list(_foreign_pickles(b"")))
def test_a_torchscript_archive_with_another_pickle_is_refused(lair, harmless, payload, which):
    torch.jit.script(Gated()).save(str(lair / "w.pt"))
    changed = _rewrite(lair / "w.pt", lair / "e.pt", {"data.pkl": _foreign_pickles(payload)[which]})
    with harmless(), pytest.raises(CheckpointError) as caught:
        read_state(changed)
    assert "\n" not in str(caught.value)


def test_packed_and_escaping_entries_are_not_followed(lair, harmless):
    torch.jit.script(Gated()).save(str(lair / "w.pt"))
    packed = _rewrite(lair / "w.pt", lair / "packed.pt", {}, packed=True)
    with harmless(), pytest.raises(CheckpointError, match="packed"):
        read_state(packed)
    with zipfile.ZipFile(lair / "w.pt", "a") as archive:
        archive.writestr("../../escaped", b"x")
        archive.writestr("w/code/../../../escaped.py", b"import os; os.system('touch RAN')")
    with harmless():
        assert "tied.weight" in read_torchscript(lair / "w.pt")


@pytest.mark.parametrize("suffix", ["pt", "pth", "bin", "ckpt", "pth.tar", "safetensors"])
@pytest.mark.parametrize("form", ["bare", "zip", "legacy", "nested"])
def test_pickles_are_not_run(lair, harmless, payload, payload_object, form, suffix):
    path = lair / f"evil.{suffix}"
    if form == "bare":
        path.write_bytes(payload)
    else:
        content = {"state_dict": {"w": payload_object}} if form == "nested" else payload_object
        torch.save(content, path, _use_new_zipfile_serialization=form != "legacy")
    with harmless(), pytest.raises(CheckpointError) as caught:
        read_state(path)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["pt", "npz"])
@pytest.mark.parametrize("name", NAMES)
def test_a_pickle_as_weights_of_a_model_is_not_run(lair, harmless, payload, name, suffix):
    path = lair / f"evil.{suffix}"
    path.write_bytes(payload)
    with harmless(), pytest.raises(CheckpointError):
        load_model(name, str(path))


def test_arrays_of_objects_are_not_unpickled(lair, harmless, payload_object):
    np.savez(lair / "evil.npz", **{"params/img/embedding/kernel": np.array([payload_object])})
    with harmless(), pytest.raises(LakevizError):
        load_model("ViT-S-32-alt", str(lair / "evil.npz"))


@pytest.mark.parametrize("form", ["size", "json", "offsets", "shape"])
def test_safetensors_that_lie_about_themselves(lair, harmless, form):
    header = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    if form == "offsets":
        header["w"]["data_offsets"] = [0, 2**60]
    if form == "shape":
        header["w"]["shape"] = [2**40, 2**30]
    text = b"[" * 100_000 if form == "json" else json.dumps(header).encode()
    length = 2**62 if form == "size" else len(text)
    (lair / "w.safetensors").write_bytes(length.to_bytes(8, "little") + text + bytes(8))
    with harmless(), pytest.raises(CheckpointError):
        read_state(lair / "w.safetensors")


def test_a_whole_pickled_module_says_what_to_save(lair, harmless):
    torch.save(torch.nn.Linear(2, 2), lair / "whole.pt")
    with harmless(), pytest.raises(CheckpointError, match=r"state_dict\(\)") as caught:
        load_model("ViT-S-32-alt", str(lair / "whole.pt"))
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


# --- folders ---


@pytest.fixture
def folder(lair):
    """The embedded model as a folder, with a Python file that no one may import."""
    shutil.copytree(TINY_DIR, lair, dirs_exist_ok=True)
    (lair / "evil.py").write_text(
        f"open({str(lair.parent / 'RAN')!r}, 'w')\n"
        "from transformers import PreTrainedTokenizerFast\n"
        "class Tok(PreTrainedTokenizerFast): pass\n"
    )
    return lair


def _change(path: Path, *keys: str, value) -> None:
    settings = json.loads(path.read_text()) if path.exists() else {}
    held = settings
    for key in keys[:-1]:
        held = held.setdefault(key, {})
    held[keys[-1]] = value
    path.write_text(json.dumps(settings))


_CODE = {"AutoTokenizer": ["evil.Tok", "evil.Tok"]}
_CHANGES = {
    "trust": ("open_clip_config.json", "text_cfg.tokenizer_kwargs.trust_remote_code", True),
    "revision": ("open_clip_config.json", "text_cfg.tokenizer_kwargs.code_revision", "main"),
    "type": ("open_clip_config.json", "text_cfg.tokenizer_kwargs.tokenizer_type", "evil"),
    "gguf": ("open_clip_config.json", "text_cfg.tokenizer_kwargs.gguf_file", "../x.gguf"),
    "kwargs": ("open_clip_config.json", "text_cfg.tokenizer_kwargs.clean", ["evil.Tok"]),
    "text tower": ("open_clip_config.json", "text_cfg.hf_model_name", "../lair"),
    "text here": ("open_clip_config.json", "text_cfg.hf_model_name", "."),
    "trunk": ("open_clip_config.json", "vision_cfg.timm_model_name", "local-dir:../lair"),
    "hub trunk": ("open_clip_config.json", "vision_cfg.timm_model_name", "hf-hub:evil/model"),
    "unknown": ("open_clip_config.json", "vision_cfg.zzz", 1),
    "class path": ("open_clip_config.json", "vision_cfg.act_layer", "evil.Tok"),
    "top": ("open_clip_config.json", "_target_", "evil.Tok"),
    "no mapping": ("open_clip_config.json", "vision_cfg", [1]),
    "text list": ("open_clip_config.json", "text_cfg", ["evil"]),
    "wrong type": ("open_clip_config.json", "vision_cfg.width", "wide"),
    "act": ("open_clip_config.json", "vision_cfg.act_kwargs", {"evil": "Tok"}),
    "layers": ("open_clip_config.json", "vision_cfg.layers", 10**9),
    "huge": ("open_clip_config.json", "text_cfg.vocab_size", 10**15),
    "auto_map": ("tokenizer_config.json", "auto_map", _CODE),
    "auto_map list": ("tokenizer_config.json", "auto_map", ["evil.Tok", None]),
    "deep auto_map": ("tokenizer_config.json", "init_kwargs", {"auto_map": _CODE}),
    "class": ("tokenizer_config.json", "tokenizer_class", "evil.Tok"),
    "repository": ("tokenizer_config.json", "tokenizer_class", "evil/repo--evil.Tok"),
    "no class": ("tokenizer_config.json", "tokenizer_class", ["Tok"]),
    "config": ("config.json", "auto_map", {"AutoConfig": "evil.Tok"}),
    "processor": ("processor_config.json", "auto_map", {"AutoProcessor": "evil.Tok"}),
}


@pytest.mark.parametrize("which", list(_CHANGES))
def test_settings_of_a_folder_import_nothing(folder, harmless, monkeypatch, which):
    monkeypatch.chdir(folder)
    file, keys, value = _CHANGES[which]
    first = ("model_cfg",) if file == "open_clip_config.json" else ()
    _change(folder / file, *first, *keys.split("."), value=value)
    with harmless(), pytest.raises(ModelError) as caught:
        load_model(f"local-dir:{folder}").text.encode(["a nut"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("bomb", ["nested", "digits", "cut", "list", "bytes", "lines"])
@pytest.mark.parametrize("file", ["open_clip_config.json", "tokenizer_config.json"])
def test_json_bombs_in_a_folder(folder, harmless, file, bomb):
    text = {
        "nested": b'{"a":' * 100_000,
        "digits": b'{"model_cfg": 1' + b"0" * 10_000 + b"}",
        "cut": b'{"model_cfg": {"embed_dim": 1',
        "list": b"[]",
        "bytes": b"\xff\xfe\x00",
        "lines": b"a: &a [x]\nb: !!python/object/apply:os.system ['touch RAN']\n",
    }[bomb]
    (folder / file).write_bytes(text)
    with harmless(), pytest.raises(CheckpointError):
        load_model(f"local-dir:{folder}")


def test_the_tokenizer_never_trusts_code_of_its_folder(folder, harmless, monkeypatch):
    """Also where the settings change between the check and the first prompt."""
    model = load_model(f"local-dir:{folder}")
    _change(folder / "tokenizer_config.json", "auto_map", value=_CODE)
    _change(folder / "tokenizer_config.json", "tokenizer_class", value="Tok")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with harmless(), pytest.raises(LakevizError):
        model.text.encode(["a nut"])


def test_weights_of_a_folder_are_not_unpickled(folder, harmless, payload):
    (folder / "open_clip_model.safetensors").unlink()
    (folder / "open_clip_pytorch_model.bin").write_bytes(payload)
    with harmless(), pytest.raises(CheckpointError, match=r"Python objects|cannot be read"):
        load_model(f"local-dir:{folder}")


def test_plain_settings_of_a_tokenizer_are_let_through(folder):
    _change(
        folder / "open_clip_config.json",
        *("model_cfg", "text_cfg", "tokenizer_kwargs", "clean"),
        value="canonicalize",
    )
    assert load_model(f"local-dir:{folder}").text.encode(["a nut"]).shape == (1, 128)


def test_the_payload_would_run(payload, tmp_path):
    pickle.loads(payload)
    assert (tmp_path / "RAN").exists()


def test_several_weights_of_no_known_name_are_refused_and_one_is_taken(folder, capfd):
    state = read_state(folder / "open_clip_model.safetensors")
    (folder / "open_clip_model.safetensors").unlink()
    save_file(state, str(folder / "mine.safetensors"))
    load_model(f"local-dir:{folder}")
    assert "Multiple" not in "".join(capfd.readouterr())
    save_file(state, str(folder / "yours.safetensors"))
    with pytest.raises(CheckpointError, match=r"mine\.safetensors, yours\.safetensors"):
        load_model(f"local-dir:{folder}")
