"""Every other file or folder a user names, with hostile content in place of each of its files."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from lakeviz.activations.store import ActivationStore
from lakeviz.data import FewShotDraw, read_dataset
from lakeviz.data.images import load_image
from lakeviz.errors import LakevizError
from lakeviz.lake import Lake
from lakeviz.models import load_model
from lakeviz.models.load.recipes import read_recipe
from lakeviz.runs.run_folder import RunFolder, read_manifest
from lakeviz.runs.spec import RunSpec
from lakeviz.studies import load_studies, load_study
from lakeviz.studies.claims.plan import Plan
from lakeviz.studies.dossier.vocabulary import read_words
from lakeviz.studies.score_maps import score_maps
from lakeviz.studies.sweep.axes import read_grid

pytestmark = pytest.mark.filterwarnings("ignore")
GOLDEN = Path(__file__).parents[1] / "golden/run_v1"
ORDER = "touch RAN"


def _zip(names: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in names.items():
            archive.writestr(name, content)
    return made.getvalue()


def _npy(payload: object) -> bytes:
    made = io.BytesIO()
    np.save(made, np.array([payload]), allow_pickle=True)
    return made.getvalue()


def _parquet(payload: bytes) -> bytes:
    """An extension type of old pyarrow, whose metadata is a pickle."""
    field = pa.field(
        "score",
        pa.binary(),
        metadata={
            "ARROW:extension:name": "arrow.py_extension_type",
            "ARROW:extension:metadata": payload,
        },
    )
    made = io.BytesIO()
    pq.write_table(pa.table([pa.array([b"x"])], schema=pa.schema([field])), made)
    return made.getvalue()


CONTENT: dict[str, Callable[[bytes, object], bytes]] = {
    "pickle": lambda pickled, _: pickled,
    "object array": lambda _, thing: _npy(thing),
    "npz": lambda pickled, thing: _zip({"000.npy": _npy(thing), "../../escaped.npy": pickled}),
    "parquet": lambda pickled, _: _parquet(pickled),
    "yaml": lambda *_: b"!!python/object/apply:os.system ['touch RAN']\n",
    "nested": lambda *_: b'{"a":' * 100_000,
    "list": lambda *_: b"[" * 100_000,
    "digits": lambda *_: b'{"protocol": 1' + b"0" * 10_000 + b"}",
    "safetensors": lambda *_: (2**62).to_bytes(8, "little") + b"{}",
    "formula": lambda *_: b"sample_id,score,path\n=cmd|'/c calc'!A1,__import__('os'),../../x\n",
    "class path": lambda *_: json.dumps(
        {"_target_": "os.system", "args": [ORDER], "protocol": "lakeviz-run/3", "spec": ORDER}
    ).encode(),
}


def _file(read: Callable[[Path], object], suffix: str) -> Callable[[Path, bytes], None]:
    def load(lair: Path, content: bytes) -> None:
        path = lair / f"evil{suffix}"
        path.write_bytes(content)
        read(path)

    return load


def _run(read: Callable[[Path], object], *files: str) -> Callable[[Path, bytes], None]:
    def load(lair: Path, content: bytes) -> None:
        for file in files:
            run = shutil.copytree(GOLDEN, lair / "run", dirs_exist_ok=True)
            (run / file).write_bytes(content)
            with suppress(LakevizError):
                read(run)
            shutil.copy(GOLDEN / file, run / file)

    return load


def _images(lair: Path) -> Path:
    for name in ("train/good/0.png", "test/good/0.png", "test/bad/0.png"):
        (lair / "data/a" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(lair / "data/a" / name)
    return lair / "data"


def _maps(path: Path) -> object:
    (path.parent / "masks").mkdir()
    Image.new("L", (8, 8)).save(path.parent / "masks/evil.png")
    where = path if path.suffix == ".npz" else path.parent
    return score_maps(where, path.parent / "masks", normal_without_mask=True)


def _few_shot(path: Path) -> object:
    return FewShotDraw.from_manifest(path, read_dataset("mvtec", _images(path.parent)))


def _evaluations(run: Path) -> object:
    return RunFolder.open(run, root=run / "data").evaluations


STUDY = "studies/pca"
LOADERS: dict[str, Callable[[Path, bytes], object]] = {
    "run": _run(_evaluations, "manifest.json", "categories/wood/evaluation.json"),
    "run tables": _run(_evaluations, "metrics.parquet", "categories/wood/scores.parquet"),
    "run maps": _run(_evaluations, "categories/wood/maps.safetensors"),
    "run list": _run(_evaluations, "categories/wood/few_shot.txt"),
    "manifest": _file(lambda path: RunSpec.from_manifest(read_manifest(path)), ".json"),
    "study": _run(lambda run: load_study(run / STUDY), f"{STUDY}/study.json"),
    "studies": _run(load_studies, f"{STUDY}/study.json"),
    "plan": _file(Plan.read, ".json"),
    "preprocessing": _file(read_recipe, ".json"),
    "words": _file(read_words, ".txt"),
    "grid": lambda _, content: read_grid([content.decode("latin-1"), "k=__import__('os')"]),
    "table": _file(lambda path: read_dataset("csv", path), ".csv"),
    "packed table": _file(lambda path: read_dataset("csv", path), ".csv.gz"),
    "map": _file(_maps, ".npy"),
    "maps": _file(_maps, ".npz"),
    "few-shot list": _file(_few_shot, ".txt"),
}


@pytest.mark.parametrize("content", list(CONTENT))
@pytest.mark.parametrize("loader", list(LOADERS))
def test_nothing_runs(lair, unharmed, payload, payload_object, monkeypatch, loader, content):
    monkeypatch.chdir(lair)
    # A line of a list may be too long for a file name, which the system says itself.
    with unharmed(), suppress(LakevizError, OSError):
        LOADERS[loader](lair, CONTENT[content](payload, payload_object))


@pytest.mark.parametrize("content", list(CONTENT))
@pytest.mark.parametrize("file", ["manifest.json", "shard-00000.safetensors"])
def test_a_store_runs_nothing(lair, unharmed, payload, payload_object, file, content):
    shard = {"file": "../../outside.safetensors", "images": 1}
    (lair / "manifest.json").write_text(json.dumps({"shards": [shard], "n_images": 1}))
    (lair / file).write_bytes(CONTENT[content](payload, payload_object))
    with unharmed(), pytest.raises(LakevizError):
        ActivationStore.open(lair)


@pytest.mark.parametrize("content", list(CONTENT))
@pytest.mark.parametrize("file", ["lake.json", "lake.safetensors"])
def test_a_detector_runs_nothing(lair, tiny, unharmed, payload, payload_object, file, content):
    model, saved = tiny
    shutil.copytree(saved, lair, dirs_exist_ok=True)
    (lair / file).write_bytes(CONTENT[content](payload, payload_object))
    with unharmed(), pytest.raises(LakevizError):
        Lake.load(lair, model)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The embedded model, and a folder with a detector on it."""
    import torch

    model, folder = load_model(), tmp_path_factory.mktemp("detector")
    noise = torch.rand(2, 3, *model.image_size, generator=torch.Generator().manual_seed(0))
    Lake(model, k=8, text_weight=0).fit(noise).save(folder)
    return model, folder


def test_names_in_a_manifest_that_point_outside_are_written_nowhere(lair, unharmed):
    run = shutil.copytree(GOLDEN, lair / "run")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["categories"]["wood"]["folder"] = "../../../escaped"
    (run / "manifest.json").write_text(json.dumps(manifest))
    with unharmed(), suppress(LakevizError):
        _evaluations(run)


def test_an_image_is_not_taken_for_another_format(lair, unharmed):
    """PostScript is a program: Pillow would start Ghostscript for it."""
    _images(lair)
    bad = lair / "data/a/test/bad/0.png"
    bad.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(RAN) (w) file closefile\n")
    with unharmed(), pytest.raises(LakevizError):
        load_image(bad)
