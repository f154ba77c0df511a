"""Every reader of lakeviz, with what it is given. A reader takes the world and a generator."""

from __future__ import annotations

import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzz.commands import check_command, no_work, odd_command
from fuzz.mutate import NAMES, damaged_json, odd_value
from fuzz.world import CATEGORY, LAYOUTS, World
from lakeviz.activations import ActivationStore
from lakeviz.cli.run import asked_spec
from lakeviz.data import FewShotDraw, read_dataset
from lakeviz.data.clip_files import read_volume
from lakeviz.data.depth import render
from lakeviz.data.depth_files import read_depth
from lakeviz.data.images import image_size, load_image, load_mask
from lakeviz.data.streams import RENDERINGS
from lakeviz.lake import Lake, LakeOptions
from lakeviz.lake.evaluation_files import TABLES
from lakeviz.lake.figures import Wanted
from lakeviz.lake.prompts import PromptEnsemble
from lakeviz.metrics import Bootstrap
from lakeviz.models import load_model
from lakeviz.report.figures import KINDS, make_figure
from lakeviz.report.latex import metrics_table
from lakeviz.runs.run import execute
from lakeviz.runs.run_folder import RunFolder
from lakeviz.runs.spec import RunSpec
from lakeviz.studies import load_study, score_maps
from lakeviz.studies.base.study_run import StudyRun
from lakeviz.studies.claims.plan import Plan
from lakeviz.studies.dossier.vocabulary import read_words
from lakeviz.studies.sweep.axes import AXES, check_grid, read_grid
from lakeviz.studies.sweep.cells import read_outcome

Read = Callable[[World, random.Random], object]


@dataclass(frozen=True)
class Reader:
    """A reader under a name; ``share`` is its part of the inputs."""

    name: str
    share: float
    read: Read


READERS: list[Reader] = []


def reader(name: str, share: float = 1) -> Callable[[Read], Read]:
    """Add a reader."""

    def add(read: Read) -> Read:
        READERS.append(Reader(name, share, read))
        return read

    return add


# --- runs ---

_EVALUATION = f"run/categories/{CATEGORY}"


@reader("run manifest, --from", 4)
def _(world: World, rng: random.Random) -> None:
    with world.damaged("run/manifest.json", rng) as path:
        asked_spec(None, path, {"root": None, "reader_options": (), "split_seed": None})


@reader("run manifest, resume", 0.5)
def _(world: World, rng: random.Random) -> None:
    spec = RunSpec.from_manifest(RunFolder.open(world.path("run")).manifest)
    with world.damaged("run/manifest.json", rng):
        execute(spec, world.path("run"), model=world.model)


@reader("run manifest, study", 2)
def _(world: World, rng: random.Random) -> None:
    with world.damaged("run/manifest.json", rng):
        run = StudyRun.open(world.path("run"))
        run.model = world.model
        for name in run.chosen():
            run.draws(name)
        run.data(CATEGORY)


@reader("run manifest, table and figure", 2)
def _(world: World, rng: random.Random) -> None:
    with world.damaged("run/manifest.json", rng):
        _shown(RunFolder.open(world.path("run")), rng)


@reader("evaluation.json", 4)
def _(world: World, rng: random.Random) -> None:
    with world.damaged(f"{_EVALUATION}/evaluation.json", rng):
        run = RunFolder.open(world.path(rng.choice(("run", _EVALUATION))))
        evaluation = run.evaluation(CATEGORY)
        evaluation.summary()
        evaluation.mask(0)
        evaluation.maps.pixel_map(0)
        _shown(run, rng)


@reader("evaluation.json, study", 1)
def _(world: World, rng: random.Random) -> None:
    with world.damaged(f"{_EVALUATION}/evaluation.json", rng):
        run = StudyRun.open(world.path("run"))
        run.model = world.model
        run.data(CATEGORY)


@reader("tables of an evaluation", 4)
def _(world: World, rng: random.Random) -> None:
    name = rng.choice([n for n in TABLES if world.path(f"{_EVALUATION}/{n}.parquet").is_file()])
    with world.damaged(f"{_EVALUATION}/{name}.parquet", rng):
        run = RunFolder.open(world.path("run"))
        run.table(name)
        run.evaluation(CATEGORY).summary()
        _shown(run, rng)


@reader("score maps (maps.safetensors)", 3)
def _(world: World, rng: random.Random) -> None:
    with world.damaged(f"{_EVALUATION}/maps.safetensors", rng):
        run = RunFolder.open(world.path("run"))
        maps = run.evaluation(CATEGORY).maps
        maps.pixel_map(len(maps) - 1)


@reader("report", 0.15)
def _(world: World, rng: random.Random) -> None:
    from lakeviz.report.run_report import write_run_report

    found = ["run/manifest.json", f"{_EVALUATION}/evaluation.json", f"{_EVALUATION}/scores.parquet"]
    with world.damaged(rng.choice(found), rng):
        write_run_report(RunFolder.open(world.path("run")))


def _shown(run: RunFolder, rng: random.Random) -> None:
    """A table and a figure of a run, as ``lakeviz table`` and ``lakeviz figure`` make them."""
    run.overview()
    kind = rng.randrange(4)
    if kind == 0:
        metrics_table({"a": run.table("metrics")}, by=rng.choice(("category", "run")))
    elif kind == 1:
        name = rng.choice([n for n in KINDS if n not in ("gallery", "heatmap", "layers")])
        image = run.table("scores", [CATEGORY])["sample_id"].iloc[0]
        make_figure(name, run, Wanted(categories=(CATEGORY,), image=image))


# --- detectors and stores ---


@reader("detector (lake.json)", 3)
def _(world: World, rng: random.Random) -> None:
    with world.damaged("lake/lake.json", rng):
        _used(world, rng)


@reader("detector (lake.safetensors)", 3)
def _(world: World, rng: random.Random) -> None:
    with world.damaged("lake/lake.safetensors", rng):
        _used(world, rng)


def _used(world: World, rng: random.Random) -> None:
    lake = Lake.load(world.path("lake"), world.model)
    if rng.random() < 0.2:
        lake.score([world.path("image.png")])


@reader("store manifest", 3)
def _(world: World, rng: random.Random) -> None:
    with world.damaged(_store(world, rng) / "manifest.json", rng) as path:
        _read_store(path.parent)


@reader("store shards", 3)
def _(world: World, rng: random.Random) -> None:
    with world.damaged(rng.choice(sorted(_store(world, rng).glob("shard-*"))), rng) as path:
        _read_store(path.parent)


def _store(world: World, rng: random.Random) -> Path:
    return rng.choice(world.files("run/activations/*/manifest.json")).parent


def _read_store(folder: Path) -> None:
    store = ActivationStore.open(folder, allow_partial=True)
    for point in store.points[:1]:
        store.read(point)
    for _ in store.shards():
        pass


@reader("options and prompts", 3)
def _(world: World, rng: random.Random) -> None:
    plain = json.loads(world.path("lake/lake.json").read_text())["options"]
    whole = rng.choice((plain, plain["text"]["prompts"]))
    try:
        data = json.loads(damaged_json(json.dumps(whole).encode(), rng))
    except (ValueError, RecursionError):
        data = odd_value(rng)
    if whole is plain:
        LakeOptions.from_plain(data)
    else:
        PromptEnsemble.from_json(data)


# --- studies ---


@reader("study.json", 3)
def _(world: World, rng: random.Random) -> None:
    name = rng.choice(world.studies)
    with world.damaged(f"run/studies/{name}/study.json", rng) as path:
        _show_study(path.parent, rng)


@reader("tables of a study", 4)
def _(world: World, rng: random.Random) -> None:
    name = rng.choice(world.studies)
    path = rng.choice(world.files(f"run/studies/{name}/*.parquet"))
    with world.damaged(path, rng):
        _show_study(path.parent, rng)


def _show_study(folder: Path, rng: random.Random) -> None:
    result = load_study(folder)
    _ = result.confidence
    kind = rng.randrange(8)
    if kind < 3:
        result.summary()
    elif kind < 6:
        result.headline()
    else:
        result.figures()


@reader("finished cells of a sweep", 1)
def _(world: World, rng: random.Random) -> None:
    path = world.path("cell/abc.json")
    if not path.is_file():
        path.parent.mkdir()
        row = {"metric": "auroc", "level": "image", "value": 0.5, "low": None, "n_draws": 3}
        found = {"protocol": "lakeviz-sweep-cell/1", "digest": "abc", "rows": [row]}
        path.write_text(json.dumps(found | {"contrasts": [row], "seconds": 1.0}))
    with world.damaged(path, rng):
        read_outcome(path.parent, "abc")


@reader("sweep grid", 4)
def _(world: World, rng: random.Random) -> None:
    base = RunSpec("mvtec", "x")
    axis = rng.choice((*AXES, *NAMES))
    if rng.random() < 0.5:
        values = ",".join(str(odd_value(rng)) for _ in range(rng.randrange(4)))
        grid: Any = read_grid([rng.choice((f"{axis}={values}", values, axis, f"{axis}={axis}"))])
    else:
        grid = {axis: rng.choice(([odd_value(rng)], odd_value(rng)))}
    check_grid(grid, base)


@reader("plan of claims", 3)
def _(world: World, rng: random.Random) -> None:
    whole = json.loads(world.path("plan.json").read_text())
    with world.damaged("plan.json", rng) as path:
        if rng.random() < 0.5:  # with the hash that fits what was changed
            try:
                made = json.loads(path.read_bytes())
                made["sha256"] = Plan(made["plan"]).sha256
                path.write_text(json.dumps(made))
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                pass
        Plan.read(path).compare(Plan(whole["plan"]))


@reader("list of words", 3)
def _(world: World, rng: random.Random) -> None:
    with world.damaged("words.txt", rng) as path:
        read_words(path)


# --- data ---


@reader("few-shot list", 4)
def _(world: World, rng: random.Random) -> None:
    with world.damaged("list.txt", rng) as path:
        draw = FewShotDraw.from_manifest(path, world.data)
        draw.to_manifest(world.path("again.txt"))


@reader("csv table", 5)
def _(world: World, rng: random.Random) -> None:
    with world.damaged("data/table.csv", rng) as path:
        data = read_dataset("csv", path)
        assert len(data.sample_ids) == len(data.frame)


@reader("visa split file", 5)
def _(world: World, rng: random.Random) -> None:
    with world.damaged("data/split_csv/1cls.csv", rng):
        data = read_dataset("visa", world.path("data"))
        assert len(data.sample_ids) == len(data.frame)


@reader("folders of every layout, odd names", 4)
def _(world: World, rng: random.Random) -> None:
    name = rng.choice(list(LAYOUTS))
    with world.layout(name, rng) as root:
        data = read_dataset(rng.choice((name, name, name, "auto")), root)
        for category in data.categories:
            draws = data.category(category).few_shot_draws(1, 0, 1)
            draws[0].to_manifest(world.path("again.txt"))
            assert FewShotDraw.from_manifest(world.path("again.txt"), data).paths == draws[0].paths


@reader("images", 6)
def _(world: World, rng: random.Random) -> None:
    with world.damaged("image.png", rng) as path:
        height, width = image_size(path)
        assert load_image(path).size == (width, height)


@reader("masks", 4)
def _(world: World, rng: random.Random) -> None:
    with world.damaged("mask.png", rng) as path:
        load_mask(path, (48, 48))


@reader("depth maps and point clouds", 3)
def _(world: World, rng: random.Random) -> None:
    kinds = ("map.npy", "map.png", "map.tiff", "cloud.tiff", "0_depth.png", "0_info_depth.yaml")
    which = rng.choice(kinds)
    with world.damaged(f"depth/{which}", rng) as path:
        path = path.with_name("0_depth.png") if path.suffix == ".yaml" else path
        depth = read_depth(path)
        assert render(path, rng.choice(RENDERINGS)).size[::-1] == depth.depth.shape


@reader("labels and masks of clips", 3)
def _(world: World, rng: random.Random) -> None:
    which = rng.choice(("masks.npy", "labels.npy", "masks.mat", "labels.mat"))
    with world.damaged(f"volumes/{which}", rng) as path:
        read_volume(path)


# --- score ---


@reader("lakeviz score: maps, masks, scores", 4)
def _(world: World, rng: random.Random) -> None:
    folder = world.path("score")
    kinds = ("maps/bad/2.npy", "maps/good/0.npy", "masks/bad/2_mask.png", "scores.csv")
    which = rng.choice((*kinds, "maps.npz", "pictures/bad/3.png"))
    maps = folder / ("maps.npz" if "npz" in which else which.split("/")[0])
    maps = maps if maps.name in ("maps.npz", "maps", "pictures") else folder / "maps"
    with world.damaged(folder / which, rng):
        score_maps(
            maps,
            folder / "masks",
            scores=folder / "scores.csv" if which == "scores.csv" else None,
            map_size=rng.choice((None, "mask", (12, 12))),
            bootstrap=Bootstrap(n_resamples=5),
        )


# --- models ---


@reader("model folder: configuration, tokenizer", 0.6)
def _(world: World, rng: random.Random) -> None:
    name = rng.choice(("open_clip_config.json",) * 3 + ("tokenizer_config.json", "tokenizer.json"))
    with world.damaged(f"model/{name}", rng):
        model = load_model(f"local-dir:{world.path('model')}")
        assert model.text is not None
        model.text.encode(["a scratch"])


@reader("model folder: weights", 0.6)
def _(world: World, rng: random.Random) -> None:
    with world.damaged("model/open_clip_model.safetensors", rng):
        load_model(f"local-dir:{world.path('model')}")


# --- the command line ---


@reader("options of every command", 8)
def _(world: World, rng: random.Random) -> None:
    words = odd_command(rng, world.path("data"), world.path("run"), world.path("odd"))
    with no_work(world.model), contextlib.chdir(world.folder):
        check_command(words)
