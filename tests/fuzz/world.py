"""What is damaged: a small data set, a run with its studies, a detector, a store, lists, maps."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from scipy.io import savemat

from fuzz.mutate import BY_SUFFIX, NAMES
from lakeviz.cli import main
from lakeviz.data import Dataset, read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.lake import Lake
from lakeviz.models import VisionModel, load_model
from lakeviz.models.load.catalog import TINY_DIR

QUICK = {
    "knockout": ("--size", 5, "--no-single", "--draws", 2),
    "overlap": (),
    "neurons": (),
}
"""Studies that take seconds."""
SLOW = {
    "sweep": ("--grid", "k=5,10", "--jobs", 1, "--backend", "sequential"),
    "pca": (),
    "dossier": (),
    "decompose": (),
    "hosts": (),
}
COMMANDS = ("claims", "readings")
CATEGORY = "gear"
UNSEALED = ("evaluation.json", "lake.json")
"""Documents of which half are tried without the checksum of their content."""

LAYOUTS: dict[str, tuple[str, ...]] = {
    "mvtec": (
        "w/train/good/0.png",
        "w/train/good/1.png",
        "w/test/good/0.png",
        "w/test/bad/1.png",
        "w/ground_truth/bad/1_mask.png",
    ),
    "folder": ("normal/0.png", "normal/1.png", "normal/2.png", "hole/0.png", "dent/0.png"),
    "bmad": (
        "b/train/good/0.png",
        "b/test/good/img/0.png",
        "b/test/Ungood/img/0.png",
        "b/test/Ungood/label/0.png",
    ),
    "kolektor_sdd": (
        "kos01/Part0.png",
        "kos01/Part0_label.png",
        "kos02/Part0.png",
        "kos02/Part0_label.png",
    ),
    "kolektor_sdd2": ("train/1.png", "train/1_GT.png", "test/2.png", "test/2_GT.png"),
    "mtd": (
        "MT_Free/Imgs/0.jpg",
        "MT_Free/Imgs/1.jpg",
        "MT_Crack/Imgs/0.jpg",
        "MT_Crack/Imgs/0.png",
    ),
    "visa": (
        "c/train/good/0.png",
        "c/test/good/0.png",
        "c/test/bad/1.png",
        "c/ground_truth/bad/1.png",
    ),
    "ucsd": (
        "Train/Train001/000.png",
        "Train/Train001/001.png",
        "Test/Test001/000.png",
        "Test/Test001/001.png",
        "Test/Test001_gt/001.png",
        "Test/Test001_gt/002.png",
    ),
    "clips": (
        "train/a/0.png",
        "train/a/1.png",
        "test/b/0.png",
        "test/b/1.png",
        "masks/b/0.png",
        "masks/b/1.png",
    ),
    "rgbd": (
        "c/train/good/rgb/0.png",
        "c/train/good/depth/0.png",
        "c/test/hole/rgb/1.png",
        "c/test/hole/depth/1.png",
        "c/test/hole/gt/1.png",
    ),
}
"""Files of the smallest data set of each layout."""


@dataclass
class World:
    """Whole files below ``folder``; :meth:`damaged` spoils one for a while."""

    folder: Path
    quick: bool = True
    studies: list[str] = field(default_factory=list)

    @cached_property
    def model(self) -> VisionModel:
        """The embedded model."""
        return load_model("tiny")

    @cached_property
    def data(self) -> Dataset:
        """All categories."""
        return read_dataset("mvtec", self.folder / "data")

    def path(self, name: str) -> Path:
        """A file or folder."""
        return self.folder / name

    def files(self, pattern: str) -> list[Path]:
        """Files by a glob, sorted."""
        return sorted(self.folder.glob(pattern))

    @contextmanager
    def damaged(self, path: str | Path, rng: random.Random) -> Iterator[Path]:
        """Damage a file in the way of its kind; it is whole again afterwards."""
        path = self.folder / path
        whole = path.read_bytes()
        given = whole
        if path.name in UNSEALED and rng.random() < 0.5:  # as earlier versions wrote it
            said = json.loads(whole)
            given = json.dumps({n: v for n, v in said.items() if n != "checksum"}).encode()
        try:
            path.write_bytes(BY_SUFFIX[path.suffix](given, rng))
            yield path
        finally:
            path.write_bytes(whole)

    @contextmanager
    def layout(self, name: str, rng: random.Random) -> Iterator[Path]:
        """A data set of a layout with a file or folder that is missing, odd, or oddly named."""
        root = self.folder / "layout"
        shutil.rmtree(root, ignore_errors=True)
        files = list(LAYOUTS[name])
        for _ in range(rng.choice((1, 1, 2))):
            at = rng.randrange(len(files))
            odd = rng.choice(NAMES).replace("\0", "").replace("/", "_")[:100] or "_"
            odd = odd.encode("utf-8", "surrogateescape")[:200].decode("utf-8", "surrogateescape")
            kind, parts = rng.randrange(6), files[at].split("/")
            if kind == 0:
                files[at] = "/".join([*parts[:-1], f"{odd}.png"])
            elif kind == 1:
                parts[rng.randrange(len(parts) - 1)] = odd
                files[at] = "/".join(parts)
            elif kind == 2:
                del files[at]
            elif kind == 3:
                files.append("/".join([*parts[:-1], odd, parts[-1]]))
            elif kind == 4:
                first = files[at].partition("/")[0]
                files = [
                    f"{odd}/{f.partition('/')[2]}" if f.startswith(first) else f for f in files
                ]
            else:
                files.append(f"{files[at]}.{rng.choice(('txt', 'png', 'tmp', 'gif'))}")
            files = files or ["x/y.png"]
        for file in files:
            target = root / file
            with contextlib.suppress(OSError):  # a name that this file system does not take
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(self.folder / "image.png", target)
        root.mkdir(exist_ok=True)
        odd_file = rng.choice(list(root.rglob("*.*")) or [root / "0.png"])
        with contextlib.suppress(OSError):
            kind = rng.randrange(12)
            if kind == 0:
                odd_file.unlink()
                odd_file.symlink_to("/gone/x.png")
            elif kind == 1:
                odd_file.unlink()
                odd_file.mkdir()
            elif kind == 2:
                odd_file.write_bytes(b"")
        yield root


def command(*words: object) -> None:
    """Run a command of lakeviz, silently; ends the harness where it fails."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            main([str(word) for word in words])
    except SystemExit as stop:
        raise RuntimeError(
            f"{words[:2]} ended with {stop.code}: {said.getvalue()[-500:]}"
        ) from None


def make_world(folder: Path, *, quick: bool = True) -> World:
    """Make everything that is read, once: half a minute, or some minutes with all studies."""
    world, root = World(folder, quick), folder / "data"
    write_benchmark(
        root, categories=("tile", CATEGORY), size=48, n_train=4, n_good=3, n_per_defect=1
    )
    run = ["--root", root, "--out", folder / "run", "--shots", 2, "--map-size", 24]
    command("run", "mvtec", *run, "--random-sets", 2)
    small = ["--resamples", 20, "--map-size", 16]
    for name, own in (QUICK if quick else QUICK | SLOW).items():
        command("study", name, folder / "run", *small, *own)
    for name in () if quick else COMMANDS:
        command(name, "mvtec", *run, "--run-random-sets", 2, "--resamples", 20)
    world.studies = sorted(p.parent.name for p in world.files("run/studies/*/study.json"))
    lake = Lake(world.model, k=10)
    lake.fit(world.data.category(CATEGORY).few_shot(2, seed=0)).save(folder / "lake")
    command("claims", "mvtec", "--root", root, "--shots", 2, "--out", folder / "no",
            "--write-plan", folder / "plan.json")  # fmt: skip
    world.data.category(CATEGORY).few_shot(2, seed=0).to_manifest(folder / "list.txt")
    (folder / "words.txt").write_text("# words\nscratch\na deep hole\nrust\nwood grain\n")
    shutil.copytree(TINY_DIR, folder / "model")
    shutil.copy(root / CATEGORY / "train/good/000.png", folder / "image.png")
    shutil.copy(next((root / CATEGORY / "ground_truth").rglob("*.png")), folder / "mask.png")
    _tables(folder)
    _maps(folder / "score")
    _depths(folder / "depth")
    _volumes(folder / "volumes")
    return world


def _tables(folder: Path) -> None:
    own = folder / "data" / CATEGORY
    rows, visa = ["path,label,category,split,mask"], ["object,split,label,image,mask"]
    for path in sorted(own.glob("*/*/*.png")):
        split, kind = path.relative_to(own).parts[:2]
        if split == "ground_truth":
            continue
        mask = own / "ground_truth" / kind / f"{path.stem}_mask.png"
        said = mask.relative_to(folder / "data").as_posix() if mask.is_file() else ""
        name = path.relative_to(folder / "data").as_posix()
        rows.append(f"{name},{int(kind != 'good')},{CATEGORY},{split},{said}")
        visa.append(f"{CATEGORY},{split},{'normal' if kind == 'good' else 'anomaly'},{name},{said}")
    (folder / "data" / "table.csv").write_text("\n".join(rows) + "\n")
    (folder / "data" / "split_csv").mkdir()
    (folder / "data" / "split_csv" / "1cls.csv").write_text("\n".join(visa) + "\n")


def _depths(folder: Path) -> None:
    """Depth of each kind that is read."""
    folder.mkdir()
    depth = np.random.default_rng(1).uniform(1, 2, (24, 24)).astype("float32")
    points = np.stack([*np.meshgrid(np.arange(24.0), np.arange(24.0)), depth], -1)
    np.save(folder / "map.npy", depth)
    Image.fromarray((1000 * depth).astype("uint16")).save(folder / "map.png")
    Image.fromarray(depth).save(folder / "map.tiff")
    tifffile.imwrite(folder / "cloud.tiff", points.astype("float32"))
    Image.fromarray((1000 * depth).astype("uint16")).save(folder / "0_depth.png")
    (folder / "0_info_depth.yaml").write_text("normalization:\n  min: 1.0\n  max: 2.0\n")


def _volumes(folder: Path) -> None:
    """Labels and masks of a clip of eight frames."""
    folder.mkdir()
    masks = np.zeros((8, 12, 12), dtype=np.uint8)
    masks[4:, 3:6, 3:6] = 1
    np.save(folder / "masks.npy", masks)
    np.save(folder / "labels.npy", masks.any((1, 2)).astype(int))
    savemat(folder / "labels.mat", {"labels": masks.any((1, 2)).astype(int)})
    cells = np.empty((1, 1), dtype=object)
    cells[0, 0] = np.moveaxis(masks, 0, -1)
    savemat(folder / "masks.mat", {"volLabel": cells})


def _maps(folder: Path) -> None:
    draw = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    scores = ["sample_id,score"]
    for name in ("good/0", "good/1", "bad/2", "bad/3"):
        values = draw.random((24, 24)).astype("float32")
        for part in ("maps", "masks", "pictures"):
            (folder / part / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / "maps" / f"{name}.npy", values)
        arrays[name] = values
        Image.fromarray((255 * values).astype("uint8")).save(folder / "pictures" / f"{name}.png")
        if name.startswith("bad"):
            Image.fromarray((values > 0.9).astype("uint8") * 255).save(
                folder / "masks" / f"{name}_mask.png"
            )
        scores.append(f"{name},{values.max()}")
    np.savez(folder / "maps.npz", **arrays)
    (folder / "scores.csv").write_text("\n".join(scores) + "\n")
