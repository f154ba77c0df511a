"""The on-disk store: round trips, resumption after a kill, and every store that must be refused."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lakeviz.activations import (
    ActivationStore,
    Loading,
    StoreKey,
    capture_activations,
    capture_to_store,
    store_key,
)
from lakeviz.activations import store as module
from lakeviz.errors import (
    ActivationError,
    CaptureTooLargeError,
    ConfigError,
    ImageReadError,
    StoreError,
)

POINTS = ("a.hook", "b.hook")


def key(n: int = 5, **changes) -> StoreKey:
    images = tuple((f"{i}.png", f"fingerprint-{i}") for i in range(n))
    base = StoreKey("w0", {"size": [32, 32], "mean": [0.5]}, "float32", POINTS, "patch", images)
    return replace(base, **changes)


def tokens(start: int, stop: int) -> dict[str, torch.Tensor]:
    """Tokens whose values say which image, token and channel they are."""
    image, token, channel = torch.meshgrid(
        torch.arange(start, stop), torch.arange(4), torch.arange(3), indexing="ij"
    )
    a = (100.0 * image + 10 * token + channel).float()
    return {"a.hook": a, "b.hook": -a[:, :2]}


@pytest.fixture
def stored(tmp_path: Path) -> ActivationStore:
    """A whole store of five images in three shards."""
    store = ActivationStore.create(tmp_path / "store", key(), images_per_shard=2)
    for start, stop in ((0, 2), (2, 4), (4, 5)):
        store.append(tokens(start, stop))
    return store


def edit_manifest(folder: Path, **changes) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_round_trip(stored: ActivationStore) -> None:
    store = ActivationStore.open(stored.folder, key())
    assert store.complete
    assert store.points == POINTS
    assert store.sample_ids == [f"{i}.png" for i in range(5)]
    whole = tokens(0, 5)
    assert torch.equal(store.read("a.hook"), whole["a.hook"])
    assert torch.equal(store.read("b.hook", [4, 0, 3, 0]), whole["b.hook"][[4, 0, 3, 0]])
    assert torch.equal(store.read("a.hook", slice(1, None, 2)), whole["a.hook"][1::2])
    parts = list(store.shards(["b.hook"]))
    assert [start for start, _ in parts] == [0, 2, 4]
    assert torch.equal(torch.cat([t["b.hook"] for _, t in parts]), whole["b.hook"])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_capture_round_trip(tiny_model, image_files, tmp_path: Path, dtype: str) -> None:
    model, paths = tiny_model("clip"), image_files(5)
    points = ["blocks.2.hook_resid_post", "blocks.0.attn.hook_z"]
    store = capture_to_store(model, paths, points, tmp_path / "s", dtype=dtype, images_per_shard=2)
    assert len(list((tmp_path / "s").glob("*.safetensors"))) == 3
    held = capture_activations(model, paths, points, loading=Loading(batch_size=2))
    opened = ActivationStore.open(tmp_path / "s", store_key(model, paths, points, dtype=dtype))
    assert opened.sample_ids == held.sample_ids
    for point in points:
        expected = held.read(point).to(getattr(torch, dtype))
        torch.testing.assert_close(opened.read(point), expected, rtol=1e-2, atol=1e-3)
        assert torch.equal(opened.read(point), store.read(point))


def test_another_program_can_read_it(stored: ActivationStore) -> None:
    """With nothing but the written protocol, JSON and safetensors."""
    manifest = json.loads((stored.folder / "manifest.json").read_text())
    canonical = json.dumps(manifest["key"], sort_keys=True, separators=(",", ":"))
    assert manifest["digest"] == hashlib.sha256(canonical.encode()).hexdigest()
    rows = {}
    for shard in manifest["shards"]:
        part = load_file(stored.folder / shard["file"])["a.hook"]
        names = [name for name, _ in manifest["key"]["images"][shard["start"] : shard["stop"]]]
        rows.update(zip(names, part, strict=True))
    assert torch.equal(rows["3.png"], tokens(3, 4)["a.hook"][0])


def test_another_program_can_write_it(tmp_path: Path) -> None:
    made_from = {
        "weights_hash": "w0",
        "preprocess": {"size": [32, 32], "mean": [0.5]},
        "dtype": "float32",
        "points": list(POINTS),
        "tokens": "patch",
        "images": [[f"{i}.png", f"fingerprint-{i}"] for i in range(5)],
    }
    canonical = json.dumps(made_from, sort_keys=True, separators=(",", ":"))
    save_file(tokens(0, 5), tmp_path / "everything.safetensors")
    manifest = {
        "protocol": "lakeviz-activations/1",
        "digest": hashlib.sha256(canonical.encode()).hexdigest(),
        "key": made_from,
        "images_per_shard": 64,
        "shards": [{"file": "everything.safetensors", "start": 0, "stop": 5}],
    }
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    store = ActivationStore.open(tmp_path, key())
    assert torch.equal(store.read("b.hook", [2]), tokens(2, 3)["b.hook"])


def test_resumes_after_an_error_between_shards(
    tiny_model, image_files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, paths, point = tiny_model("clip"), image_files(5), "blocks.1.hook_resid_post"
    folder = tmp_path / "s"
    hidden = paths[3].read_bytes()
    whole = capture_to_store(model, paths, point, tmp_path / "t", images_per_shard=2).read(point)

    bytes_of_bad = b"broken"
    paths[3].write_bytes(bytes_of_bad)
    with pytest.raises(ImageReadError, match=r"003\.png"):
        capture_to_store(model, paths, point, folder, images_per_shard=2)
    with pytest.raises(StoreError, match="holds 2 of 5 images"):
        ActivationStore.open(folder)
    assert ActivationStore.open(folder, allow_partial=True).n_stored == 2

    # Another content of image 3 is another store; with the same content it goes on.
    paths[3].write_bytes(hidden)
    with pytest.raises(StoreError, match="images"):
        capture_to_store(model, paths, point, folder, images_per_shard=2)
    paths[3].write_bytes(bytes_of_bad)
    calls = []
    real = module.ActivationStore.append
    monkeypatch.setattr(
        module.ActivationStore, "append", lambda s, t: (calls.append(s.n_stored), real(s, t))
    )
    with pytest.raises(ImageReadError):
        capture_to_store(model, paths, point, folder, images_per_shard=2)
    assert not calls  # the stored images did not run again
    assert torch.equal(ActivationStore.open(folder, allow_partial=True).read(point), whole[:2])


def test_resumes_where_it_was_interrupted(
    tiny_model, image_files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, paths, point = tiny_model("clip"), image_files(5), "blocks.1.hook_resid_post"
    real, done = module.ActivationStore.append, []

    def interrupted(store: ActivationStore, part: dict[str, torch.Tensor]) -> None:
        if len(done) == 1:
            raise KeyboardInterrupt
        done.append(len(part[point]))
        real(store, part)

    monkeypatch.setattr(module.ActivationStore, "append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        capture_to_store(model, paths, point, tmp_path / "s", images_per_shard=2)
    monkeypatch.setattr(module.ActivationStore, "append", real)
    resumed = capture_to_store(model, paths, point, tmp_path / "s", images_per_shard=3)
    assert resumed.images_per_shard == 2  # as it was begun
    assert len(list((tmp_path / "s").glob("*.safetensors"))) == 3
    straight = capture_to_store(model, paths, point, tmp_path / "t", images_per_shard=2)
    assert torch.equal(resumed.read(point), straight.read(point))


def write_and_be_killed(folder: Path, made_from: StoreKey, at_shard: int) -> None:
    """Write shards of two images; die with half of shard ``at_shard`` written."""
    written = []

    def save(tensors: dict[str, torch.Tensor], path: str) -> None:
        save_file(tensors, path)
        if len(written) == at_shard:
            os.truncate(path, 40)
            os.kill(os.getpid(), signal.SIGKILL)
        written.append(path)

    module.save_file = save
    store = ActivationStore.create(folder, made_from)
    for start in (0, 2):
        store.append(tokens(start, start + 2))


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
@pytest.mark.parametrize("at_shard", [0, 1])
def test_survives_sigkill_in_the_middle_of_a_write(tmp_path: Path, at_shard: int) -> None:
    folder, made_from = tmp_path / "s", key(4)
    writer = multiprocessing.get_context("fork").Process(
        target=write_and_be_killed, args=(folder, made_from, at_shard)
    )
    writer.start()
    writer.join(60)
    assert writer.exitcode == -signal.SIGKILL
    store = ActivationStore.create(folder, made_from)
    assert store.n_stored == 2 * at_shard
    for start in range(store.n_stored, 4, 2):
        store.append(tokens(start, start + 2))
    whole = ActivationStore.open(folder, made_from)
    assert torch.equal(whole.read("a.hook"), tokens(0, 4)["a.hook"])
    assert not list(folder.glob("*.tmp"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights_hash": "w1"}, r'weights_hash: the store has "w0", asked for "w1"'),
        ({"preprocess": {"size": [64, 64]}}, "preprocess"),
        ({"dtype": "float16"}, "dtype"),
        ({"points": ("a.hook",)}, "points"),
        ({"tokens": "all"}, "tokens"),
        ({"images": (("0.png", "another"),)}, "images"),
    ],
)
def test_foreign_key_is_refused_with_the_field(
    stored: ActivationStore, changes: dict, said: str
) -> None:
    before = {p: p.read_bytes() for p in stored.folder.iterdir()}
    for refuse in (ActivationStore.open, ActivationStore.create):
        with pytest.raises(StoreError, match="made from something else") as error:
            refuse(stored.folder, key(**changes))
        fields = [f for f in key().as_json() if f"{f}: the store has" in str(error.value)]
        assert fields == list(changes)
        assert error.match(said)
    assert {p: p.read_bytes() for p in stored.folder.iterdir()} == before


def test_other_weights_make_another_key(tiny_model, image_files) -> None:
    paths, point = image_files(2), "blocks.0.hook_resid_post"
    first, second = (store_key(tiny_model("clip", seed), paths, point) for seed in (0, 1))
    assert first.weights_hash != second.weights_hash
    assert replace(second, weights_hash=first.weights_hash) == first
    assert first.digest == store_key(tiny_model("clip", 0), paths, point).digest


def test_missing_partial_and_damaged_stores(stored: ActivationStore, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"manifest\.json is missing"):
        ActivationStore.open(tmp_path / "nowhere")
    shard = stored.folder / "shard-00001.safetensors"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-10])
    opened = ActivationStore.open(stored.folder)  # lazy: found when it is read
    assert opened.read("a.hook", [0, 4]).shape == (2, 4, 3)
    with pytest.raises(StoreError, match=r"shard-00001\.safetensors is damaged"):
        opened.read("a.hook")
    with pytest.raises(StoreError, match="is damaged"):
        list(opened.shards())
    save_file({"b.hook": tokens(2, 4)["b.hook"]}, shard)
    with pytest.raises(StoreError, match="is damaged"):
        opened.read("a.hook", [2])
    with pytest.raises(StoreError, match="checksum does not fit; delete the store"):
        save_file(tokens(3, 5), shard)
        opened.read("a.hook", [2])
    manifest = json.loads((stored.folder / "manifest.json").read_text())
    bare = [{n: v for n, v in s.items() if n != "sha256"} for s in manifest["shards"]]
    edit_manifest(stored.folder, shards=bare)  # as earlier versions wrote it
    opened = ActivationStore.open(stored.folder)
    for wrong in (tokens(2, 3), {p: t[:, :1] for p, t in tokens(2, 4).items()}):
        save_file({p: t.contiguous() for p, t in wrong.items()}, shard)
        with pytest.raises(StoreError, match="has shape"):
            opened.read("a.hook")
    shard.unlink()
    with pytest.raises(StoreError, match=r"shard-00001\.safetensors is missing"):
        ActivationStore.open(stored.folder)


def test_damaged_manifest(stored: ActivationStore) -> None:
    path = stored.folder / "manifest.json"
    whole = path.read_text()
    edit_manifest(stored.folder, protocol="lakeviz-activations/0")
    with pytest.raises(StoreError, match="follows protocol 'lakeviz-activations/0'"):
        ActivationStore.open(stored.folder)
    for text in ("{", "[]", "3"):
        path.write_text(text)
        with pytest.raises(StoreError):
            ActivationStore.open(stored.folder)
    damages = [
        {"key": {}},
        {"shards": None},
        {"shards": [{"file": "shard-00000.safetensors", "start": 1, "stop": 2}]},
        {"shards": [{"file": "shard-00000.safetensors", "start": 0, "stop": 9}]},
        {"digest": "0"},
        {"images_per_shard": "many"},
    ]
    for damage in damages:
        path.write_text(whole)
        edit_manifest(stored.folder, **damage)
        with pytest.raises(StoreError, match="damaged"):
            ActivationStore.open(stored.folder)


def test_only_the_rows_asked_for_are_read(
    stored: ActivationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    real = module.safe_open
    monkeypatch.setattr(
        module, "safe_open", lambda path, **k: (opened.append(Path(path).name), real(path, **k))[1]
    )
    store = ActivationStore.open(stored.folder)
    assert not opened
    store.read("a.hook", [2, 3])
    assert opened == ["shard-00001.safetensors"]


def test_reading_what_is_not_there(stored: ActivationStore) -> None:
    with pytest.raises(StoreError, match="has no point 'c'"):
        stored.read("c")
    for index in (5, -1):
        with pytest.raises(StoreError, match=f"asked for {index}"):
            stored.read("a.hook", [0, index])
    with pytest.raises(StoreError, match="no image was asked for"):
        stored.read("a.hook", [])


def test_shards_that_do_not_fit(tmp_path: Path) -> None:
    store = ActivationStore.create(tmp_path / "s", key())
    with pytest.raises(StoreError, match="shard has points"):
        store.append({"a.hook": tokens(0, 2)["a.hook"]})
    with pytest.raises(StoreError, match=r"\[1, 2\] images"):
        store.append(tokens(0, 2) | {"b.hook": tokens(0, 1)["b.hook"]})
    with pytest.raises(StoreError, match="ends at image 6 of 5"):
        store.append(tokens(0, 6))
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("bad", [float("nan"), 1e6])
def test_values_the_number_type_cannot_hold(tmp_path: Path, bad: float) -> None:
    store = ActivationStore.create(tmp_path / "s", key(dtype="float16"))
    part = tokens(0, 2)
    part["b.hook"][0, 0, 1] = bad
    with pytest.raises(ActivationError, match=r"b\.hook as float16.*channel 1"):
        store.append(part)
    assert not (tmp_path / "s").exists()


def test_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(StoreError, match=r"holds no manifest\.json"):
            ActivationStore.create(folder, key())
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_options_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="float64"):
        ActivationStore.create(tmp_path / "s", key(dtype="float64"))
    with pytest.raises(ConfigError, match="images_per_shard"):
        ActivationStore.create(tmp_path / "s", key(), images_per_shard=0)


Usage = namedtuple("Usage", "total used free")


def test_full_disk_is_found_before_anything_is_written(
    tiny_model, image_files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, paths, point = tiny_model("clip"), image_files(3), "blocks.1.hook_resid_post"
    needed = 3 * 16 * 32 * 4
    folder = tmp_path / "deep" / "store"
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: Usage(0, 0, int(needed * 1.05)))
    with pytest.raises(CaptureTooLargeError, match="the store would take"):
        capture_to_store(model, paths, point, folder)
    assert not folder.parent.exists()
    # Half the size fits.
    assert capture_to_store(model, paths, point, folder, dtype="float16").complete


def test_disk_that_fills_up_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ActivationStore.create(tmp_path / "s", key())
    store.append(tokens(0, 2))

    def full(_tensors: object, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    with pytest.raises(StoreError, match="No space left"):
        store.append(tokens(2, 4))
    assert store.n_stored == 2
    assert not list((tmp_path / "s").glob("*.tmp"))
    monkeypatch.undo()
    store.append(tokens(2, 5))
    whole = ActivationStore.open(tmp_path / "s", key())
    assert torch.equal(whole.read("a.hook"), tokens(0, 5)["a.hook"])


def test_prefix_tokens_are_stored_too(tiny_model, image_files, tmp_path: Path) -> None:
    model, paths, point = tiny_model("timm"), image_files(2), "blocks.1.hook_resid_post"
    store = capture_to_store(model, paths, point, tmp_path / "s", tokens="prefix")
    assert store.tokens == "prefix"
    assert store.read(point).shape == (2, 3, 32)


def test_damaged_numbers_are_named_and_not_read(stored: ActivationStore) -> None:
    shard = stored.folder / "shard-00001.safetensors"
    content = bytearray(shard.read_bytes())
    content[-40:-20] = bytes(20)
    shard.write_bytes(content)
    opened = ActivationStore.open(stored.folder)
    assert opened.read("a.hook", [0]).tolist() == tokens(0, 1)["a.hook"].tolist()
    with pytest.raises(StoreError, match=r"shard-00001\.safetensors is damaged: its checksum"):
        opened.read("a.hook", [2])
    with pytest.raises(StoreError, match="delete the store and capture again"):
        list(opened.shards())


def test_checksums_are_those_of_the_files(stored: ActivationStore) -> None:
    manifest = json.loads((stored.folder / "manifest.json").read_text())
    for shard in manifest["shards"]:
        content = (stored.folder / shard["file"]).read_bytes()
        assert shard["sha256"] == hashlib.sha256(content).hexdigest()


def test_what_a_kill_left_is_removed_when_the_capture_goes_on(tmp_path: Path) -> None:
    store = ActivationStore.create(tmp_path, key(), images_per_shard=2)
    store.append(tokens(0, 2))
    for name in ("shard-00001.safetensors.0123abcd.tmp", ".tmpA1b2C3", "manifest.json.01.tmp"):
        (tmp_path / name).write_text("half")
    ActivationStore.create(tmp_path, key())
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "manifest.json",
        "shard-00000.safetensors",
    ]
