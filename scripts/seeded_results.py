"""Make seeded results through the command line, and compare those of two versions bit by bit.

``make`` runs the lakeviz that Python imports (``PYTHONPATH`` chooses another checkout) in three
worlds: ``embedded`` (the embedded model, four synthetic categories), ``hazelnut`` and ``mtd`` (a
ViT-Ti on DATA/hazelnut_toy and DATA/mtd). All commands are in ``seeded_results.toml``. Their
settings are small: the numbers say whether code changed, nothing of the method; of ``mtd``, with
868 test images, only some studies are made. Finished stages are skipped. NAME is a world, a stage
or WORLD/STAGE; what a stage needs is made as well.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from safetensors.numpy import load_file

_BOOTSTRAP = {
    "provenance.bootstrap.level": "provenance.bootstrap.confidence",
    "provenance.bootstrap.n_draws": "provenance.bootstrap.n_resamples",
}
_OVERLAP = {
    "n_null": "n_random_sets",
    "level": "confidence",
    "matched_low": "matched_quantile_low",
    "matched_high": "matched_quantile_high",
    "resampled_low": "resampled_quantile_low",
    "resampled_high": "resampled_quantile_high",
    "expected_low": "random_quantile_low",
    "expected_high": "random_quantile_high",
    "stability.parquet:low": "jaccard_quantile_low",
    "stability.parquet:high": "jaccard_quantile_high",
    "provenance.settings.n_null": "provenance.settings.n_random_sets",
    "provenance.settings.level": "provenance.settings.confidence",
}
_SWEEP = {
    "n_draws": "n_random_sets",
    "provenance.settings.random_draws": "provenance.settings.n_random_sets",
}
_KNOCKOUT = {
    "n_draws": "n_random_sets",
    "contrasts.parquet:n_draws": "n_members",
    "order": "selector",
    "part": "branch",
    "control_low": "control_quantile_low",
    "control_high": "control_quantile_high",
    **{
        f"provenance.settings.{kind}, {mode}.n_draws": (
            f"provenance.settings.{kind}, {mode}.n_random_sets"
        )
        for kind in ("score", "forward", "weights")
        for mode in ("remove", "keep")
    },
    "provenance.bootstrap.level": "provenance.bootstrap.confidence",
    "provenance.bootstrap.n_draws": "provenance.bootstrap.n_resamples",
}
_DOSSIER = {
    "n_draws": "n_random",
    "control_low": "control_min",
    "control_high": "control_max",
    "labels.parquet:n_draws": "n_controls",
    "labels.parquet:control_low": "control_quantile_low",
    "labels.parquet:control_high": "control_quantile_high",
    "provenance.bootstrap.level": "provenance.bootstrap.confidence",
    "provenance.bootstrap.n_draws": "provenance.bootstrap.n_resamples",
}
_JACKKNIFE = "Student's interval of jackknife values in place of a bootstrap over categories"

RENAMED: dict[str, dict[str, str]] = {
    "dossier": _DOSSIER,
    "knockout": _KNOCKOUT,
    "overlap": _OVERLAP | _BOOTSTRAP,
    "sweep": _SWEEP | _BOOTSTRAP,
    "pca": {
        "n_draws": "n_random_sets",
        "covariance.parquet:n_draws": "n_permutations",
        "control_low": "control_quantile_low",
        "control_high": "control_quantile_high",
        "provenance.settings.n_draws": "provenance.settings.n_random_sets",
        "provenance.settings.permutations": "provenance.settings.n_permutations",
    }
    | _BOOTSTRAP,
    "contamination": {
        "n_draws": "n_repeats",
        "provenance.settings.n_draws": "provenance.settings.n_repeats",
    }
    | _BOOTSTRAP,
    "neurons": _BOOTSTRAP,
    "decompose": {
        "n_draws": "n_random_sets",
        "control_low": "control_quantile_low",
        "control_high": "control_quantile_high",
        "provenance.settings.n_draws": "provenance.settings.n_random_sets",
    }
    | _BOOTSTRAP,
    "hosts": {"n_draws": "n_random_sets"} | _BOOTSTRAP,
    "claims": {
        "n_draws": "n_random_sets",
        "corrected_level": "corrected_confidence",
        "provenance.settings.n_draws": "provenance.settings.n_random_sets",
        "provenance.settings.fits": "provenance.settings.n_fits",
        "provenance.settings.resamples": "provenance.settings.n_resamples",
        "provenance.settings.corrected_level": "provenance.settings.corrected_confidence",
    }
    | _BOOTSTRAP,
    "run": {
        "part": "branch",
        "interval_level": "confidence",
        "low": "low",
    }
    | _BOOTSTRAP,
    "score": {"part": "branch", "interval_level": "confidence"} | _BOOTSTRAP,
}
"""Per study (``run`` for tables of runs): old name to new one. A name is a file
(``curves.parquet``; the new one lies relative to the old one's folder), a column or dotted JSON
field (``n_draws``, ``provenance.settings``), or ``FILE:COLUMN``, meant in one file alone."""

_WORDS = {
    "protocol": "version 2",
    "summary": "made of findings",
    "provenance.settings.metrics": "margin is called cohens_d",
}
_ONE_RULE = "one random set per resample instead of their resampled mean; low, high of the value"

EXPECTED: dict[str, dict[str, str]] = {
    "run": {
        "protocol": "version 2",
        **{
            f"controls.{suffix}:{column}": _ONE_RULE
            for suffix in ("csv", "parquet")
            for column in ("low", "high", "share_above_zero")
        },
    },
    "pca": _WORDS | {"provenance.settings.selectors": "as they were named"},
    "contamination": _WORDS
    | {
        "what": "memory is called gallery",
        "provenance.settings.what": "memory is called gallery",
        "provenance.settings.selectors": "controls have a setting of their own",
    },
    "neurons": _WORDS,
    "decompose": _WORDS,
    "hosts": _WORDS
    | {
        f"provenance.settings.hosts.{host}.{name}": "called n_random_sets and n_repeats"
        for host in ("patch_nn", "pca_residual", "zero_shot", "lof")
        for name in ("n_draws", "repeats")
    },
    "claims": _WORDS
    | {
        **dict.fromkeys(("low", "high", "corrected_low", "corrected_high"), _JACKKNIFE),
        **dict.fromkeys(("verdict", "finding"), f"claim 4: {_JACKKNIFE}"),
        **dict.fromkeys(("effect", "statement"), "memory is called gallery"),
    },
    "score": _WORDS,
    "dossier": {"protocol": "version 2", "summary": "made of findings"},
    "knockout": {
        "protocol": "version 2",
        "summary": "made of findings",
        "provenance.settings.score, keep.single": "as it was asked for",
    },
    "overlap": {
        **{
            f"overview.parquet:{column}_{end}": _JACKKNIFE
            for column in (
                "jaccard",
                "spearman",
                "jaccard_of_ceiling",
                "minus_chance",
                "minus_matched",
                "minus_permutation",
            )
            for end in ("low", "high")
        },
        "pairs.parquet:reason": "other words",
        "protocol": "version 2",
        "summary": "made of findings",
        "notes": "other words",
    },
    "sweep": {
        "metric": "margin is called cohens_d",
        "provenance.settings.metrics": "margin is called cohens_d",
        "provenance.digest": "of the new names",
        "protocol": "version 2",
        "summary": "made of findings",
    },
}
"""Per study: names as above that may differ or be gone, with the reason."""

EXCLUDED = ("versions", "seconds", "seconds_per_image")
"""Columns and JSON fields that differ between any two runs."""

_OUTSIDE = re.compile(r'"/[^"]+/(?=(?:data|inputs)/)')  # of absolute paths of images
ADDED = "only in the new folder"
DRAW = """from lakeviz import write_benchmark
write_benchmark("data", categories=("wood", "carpet", "gear", "cable"), size=64, n_train=12,
                n_good=8, n_per_defect=1)"""
MAPS = {"embedded": "data/wood/test", "hazelnut": "inputs/hazelnut_toy/test"}
NEEDS = {"mtd/overlap": ("hazelnut/inputs", "hazelnut/run")}
WORLDS: dict[str, dict[str, str]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
SHARED = WORLDS.pop("shared")


def make(out: Path, data: Path, only: list[str]) -> int:
    """Make what is not finished yet; the number of failed stages."""
    out.mkdir(parents=True, exist_ok=True)
    where = "import lakeviz; print(lakeviz.__file__)"
    print(f"{out}: with {python(out, '-c', where, stdout=subprocess.PIPE).stdout.strip()}")
    every = [f"{w}/{s}" for w, stages in WORLDS.items() for s in ("inputs", *stages)]
    wanted = {name for name in every if is_chosen(name, only)}
    wanted |= {f"{name.partition('/')[0]}/{s}" for name in wanted for s in ("inputs", "run")}
    wanted |= {need for name in wanted for need in NEEDS.get(name, ())}
    failed = 0
    for name in [name for name in every if name in wanted]:
        world, stage = name.split("/")
        done = out / world / "stages" / f"{stage}.json"
        if done.exists():
            continue
        start, before = time.perf_counter(), sum(os.times()[2:4])
        try:
            make_stage(out / world, data, stage)
        except subprocess.CalledProcessError:
            print(f"{name}: FAILED, see {out / world / 'logs' / stage}.txt", flush=True)
            failed += 1
            continue
        cpu = sum(os.times()[2:4]) - before
        spent = {"wall": round(time.perf_counter() - start, 1), "cpu": round(cpu, 1)}
        done.parent.mkdir(parents=True, exist_ok=True)
        done.write_text(json.dumps(spent))
        print(f"{name}: {spent['wall']} s, {spent['cpu']} s of processors", flush=True)
    return failed


def make_stage(folder: Path, data: Path, stage: str) -> None:
    """Make one stage; a study is moved out of the run, so that one study can be made twice."""
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    world = folder.name
    if stage == "inputs":
        if world == "embedded":
            python(folder, "-c", DRAW)
        elif not (folder / "inputs").exists():
            (folder / "inputs").symlink_to(data.resolve())
        if world in MAPS:
            draw_maps(folder / MAPS[world], folder / "maps")
        return
    arguments = WORLDS[world][stage].format_map(SHARED).format_map(SHARED).split()
    is_study = stage != "score" and not stage.startswith("run")
    if is_study:
        shutil.rmtree(folder / "run" / "studies", ignore_errors=True)
    if is_study and stage != "claims":
        arguments = ["study", stage.partition("_")[0], "run", *arguments]
    command = ["-c", "from lakeviz.cli import main; main()", *arguments]
    with (folder / "logs" / f"{stage}.txt").open("w") as log:
        python(folder, *command, stdout=log, stderr=subprocess.STDOUT)
    if is_study:
        (made,) = (folder / "run" / "studies").iterdir()
        (folder / "studies").mkdir(exist_ok=True)
        shutil.rmtree(folder / "studies" / stage, ignore_errors=True)
        made.rename(folder / "studies" / stage)


def python(folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with the same number of threads on every machine."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    options |= {"cwd": folder, "env": environment, "check": True, "text": True}
    return subprocess.run([sys.executable, *arguments], **options)


def draw_maps(images: Path, out: Path) -> None:
    """Maps of a detector that is none: how far each pixel is from its image's mean brightness."""
    for path in sorted(images.rglob("*.[jp][pn]g")):
        grey = np.asarray(Image.open(path).convert("L").resize((64, 64)), dtype=np.float32)
        target = out / path.relative_to(images).with_suffix(".npy")
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, np.abs(grey - grey.mean()))


def is_chosen(name: str, only: list[str]) -> bool:
    """Whether WORLD/STAGE is among the names given, if any were."""
    return not only or bool({name, *name.split("/")} & set(only))


def compare(old: Path, new: Path, only: list[str]) -> int:
    """Compare all files of two folders; the number of unexplained differences."""
    before, after = dict(result_files(old, only)), dict(result_files(new, only))
    unexplained, met = 0, set()
    for name, stage in before.items():
        path, study = PurePosixPath(name), stage.partition("_")[0]
        twin = os.path.normpath(path.parent / RENAMED.get(study, {}).get(path.name, path.name))
        met.add(twin)
        found = {"all of it": "missing"}
        if twin in after:
            found = differences(old / name, new / twin, study)
        print(f"{name}: {'' if found else 'equal'}")
        for column, said in found.items():
            expected = EXPECTED.get(study, {})
            reason = expected.get(path.name) or lookup(expected, path.name, column)[1]
            unexplained += not (reason or said == ADDED)
            print(f"  {column}: {said}" + (f" (expected: {reason})" if reason else ""))
    for name in [name for name in after if name not in met]:
        print(f"{name}: {ADDED}")
    print(f"\n{len(before)} files, {unexplained} unexplained differences")
    return unexplained if before else 1


def differences(old: Path, new: Path, study: str) -> dict[str, str]:
    """What differs, by column of the old file, and the columns that only the new one has."""
    before, after, found, met = read(old), read(new), {}, set()
    for name, values in before.items():
        known, now = lookup(RENAMED.get(study, {}), old.name, name)
        twin = now + name.removeprefix(known) if known else name
        met.add(twin)
        found[name] = difference(values, after[twin]) if twin in after else "missing"
    found |= {name: ADDED for name in after if name not in met}
    return {name: said for name, said in found.items() if said}


def difference(old: np.ndarray, new: np.ndarray) -> str:
    """What differs between two columns in words; empty where they are equal bit by bit."""
    if old.shape != new.shape:
        return f"shape {old.shape} became {new.shape}"
    if old.dtype != new.dtype and old.size:
        return f"type {old.dtype} became {new.dtype}"
    if old.dtype == object:
        unequal = np.array([not alike(a, b) for a, b in zip(old, new, strict=True)], dtype=bool)
        if not unequal.any():
            return ""
        first = int(np.argmax(unequal))
        shown = f"{str(old[first])[:300]} became {str(new[first])[:300]}"
        return f"{unequal.sum()} of {len(old)} rows, first in row {first}: {shown}"
    unequal = (old != new) & ~((old != old) & (new != new))
    if not unequal.any():
        return ""
    rows = unequal.reshape(len(old), -1).any(axis=1).sum()
    gaps = np.abs(old[unequal].astype(float) - new[unequal].astype(float))
    largest = np.max(gaps, where=~np.isnan(gaps), initial=0)
    return f"{rows} of {len(old)} rows, by {largest:.3g} at most"


def alike(a: Any, b: Any) -> bool:
    """Whether two cells are equal; two missing ones are."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return bool(a == b or (pd.isna(a) and pd.isna(b)))


def result_files(folder: Path, only: list[str]) -> Iterator[tuple[str, str]]:
    """Name and stage of every file with results; stores of activations and cells are none."""
    for path in sorted(folder.glob("*/*/**/*")):
        name = path.relative_to(folder)
        world, stage, *rest = name.parts
        if stage == "studies":
            stage, *rest = rest
        if stage not in WORLDS.get(world, ()) or {*rest[:1]} & {"activations", "sweep"}:
            continue
        known = path.suffix in (".parquet", ".csv", ".json", ".safetensors", ".txt")
        if known and path.is_file() and is_chosen(f"{world}/{stage}", only):
            yield name.as_posix(), stage


def read(path: Path) -> dict[str, np.ndarray]:
    """Columns of a table, arrays of a safetensors file, fields of JSON, lines of text."""
    if path.suffix == ".safetensors":
        found = load_file(path)
    elif path.suffix == ".json":
        text = re.sub(_OUTSIDE, '"', path.read_text(encoding="utf-8"))
        found = dict(fields(json.loads(text)))
    elif path.suffix == ".txt":
        found = {"lines": np.array(path.read_text(encoding="utf-8").splitlines(), dtype=object)}
    else:
        is_csv = path.suffix == ".csv"
        table = pd.read_csv(path) if is_csv else pd.read_parquet(path)
        if "metric" in table:
            table["metric"] = table["metric"].replace("margin", "cohens_d")  # its name of before
        found = {str(name): table[name].to_numpy() for name in table.columns}
    return {n: v for n, v in found.items() if not set(n.split(".")) & set(EXCLUDED)}


def fields(value: Any, name: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Every value in nested JSON by its dotted name."""
    if isinstance(value, dict) and value:
        for key, own in value.items():
            yield from fields(own, f"{name}.{key}" if name else str(key))
    else:
        yield name, np.array([json.dumps(value)], dtype=object)


def lookup(mapping: Mapping[str, str], file: str, column: str) -> tuple[str, str]:
    """The part of a column's name that a mapping knows, with what it says; else two empty texts."""
    parts = column.split(".")
    for name in (".".join(parts[:n]) for n in range(len(parts), 0, -1)):
        for key in (f"{file}:{name}", name):
            if key in mapping:
                return name, mapping[key]
    return "", ""


def main() -> None:
    """Make or compare, as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one, two = verbs.add_parser("make"), verbs.add_parser("compare")
    one.add_argument("out", type=Path)
    one.add_argument("--data", type=Path, required=True, help="folder with data sets and weights")
    for name in ("old", "new"):
        two.add_argument(name, type=Path)
    for verb in (one, two):
        verb.add_argument("--only", nargs="+", default=[], metavar="NAME")
    args = parser.parse_args()
    if args.verb == "make":
        sys.exit(make(args.out.absolute(), args.data, args.only) > 0)
    sys.exit(compare(args.old, args.new, args.only) > 0)


if __name__ == "__main__":
    main()
