"""``lakeviz run`` against a bare script and against itself on a finished run; reading a result.

``python benchmarks/run.py DATASET ROOT --model NAME --pretrained FILE [--category NAME]``, with the
name of a timm model and a file of its weights. The bare script decodes the same images with Pillow,
takes them with timm to the same block, and finds the nearest of the same normal patches: one draw,
no intervals, no controls, no pixel metrics, no report. All are processes of their own, so imports
count, of modules that Python has compiled before. Sides alternate, and ratios are of neighbouring
runs: of wall time, and of CPU seconds (user and system, all processes), which a busy machine
distorts less. Reading is in CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

CASES = {
    "one draw, no controls": (["--draws", "1", "--no-controls"], 1.4),
    "one draw, all controls": (["--draws", "1"], 2.2),
    "five draws, no controls": (["--no-controls"], 1.4),
    "five draws, all controls": ([], 2.2),
}
AGAIN, AGAIN_AIM = "five draws, no controls", 0.15
READING, READING_AIM = ("figure --list", "table"), 2.0

BARE = """
import json, sys
import numpy as np, timm, torch
from PIL import Image
from safetensors.torch import load_file

asked = json.load(open(sys.argv[1]))
model = timm.create_model(asked["model"], num_classes=0)
model.load_state_dict(load_file(asked["weights"]), strict=False)
model.eval()
height, width = asked["size"]
mean, std = np.array(asked["mean"], np.float32), np.array(asked["std"], np.float32)

def tokens(paths):
    for start in range(0, len(paths), 16):
        images = [Image.open(p).convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
                  for p in paths[start:start + 16]]
        pixels = (np.stack([np.asarray(i, np.float32) for i in images]) / 255 - mean) / std
        found = []
        with torch.inference_mode():
            x = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
            x = model.norm_pre(model.patch_drop(model._pos_embed(model.patch_embed(x))))
            for number, block in enumerate(model.blocks[:max(asked["blocks"]) + 1]):
                x = block(x)
                if number in asked["blocks"]:
                    found.append(x[:, model.num_prefix_tokens:])
        yield found

normal = [torch.cat(parts).flatten(0, 1) for parts in zip(*tokens(asked["normal"]))]
chosen = [n.var(0).topk(asked["k"]).indices for n in normal]
unit = lambda x: torch.nn.functional.normalize(x, dim=-1)
gallery = [unit(n[:, c]) for n, c in zip(normal, chosen)]
scores = []
for found in tokens(asked["test"]):
    maps = [1 - (unit(x[..., c]) @ g.T).amax(-1) for x, c, g in zip(found, chosen, gallery)]
    scores.append(torch.stack(maps).mean(0).amax(1))
scores, labels = torch.cat(scores).numpy(), np.array(asked["labels"])
above = (scores[labels == 1][:, None] > scores[labels == 0]).mean()
print(f"image AUROC {above:.3f}")
"""


def timed(command: list[str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command and its children."""
    # Else every process would compile all modules that it imports.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    before, start = os.times(), time.perf_counter()
    subprocess.run(
        command,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user - before.children_user
    return wall, cpu + after.children_system - before.children_system


def bare_command(folder: Path, run: Path, given: argparse.Namespace) -> list[str]:
    """Command of the bare script, on the images and blocks of a run."""
    manifest = json.loads((run / "manifest.json").read_text())
    (category,) = manifest["categories"].values()
    scores = pd.read_parquet(run / "scores.parquet")
    points = dict.fromkeys(pd.read_parquet(run / "neurons.parquet")["point"])
    preprocess, root = manifest["model"]["preprocess"], Path(given.root)
    asked = {
        "model": manifest["model"]["name"].removeprefix("timm/"),
        "weights": given.pretrained,
        "size": preprocess["size"],
        "mean": preprocess["mean"],
        "std": preprocess["std"],
        "blocks": [int(point.split(".")[1]) for point in points],
        "k": manifest["spec"]["options"]["k"],
        "normal": [str(root / name) for name in category["few_shot"]["sample_ids"]],
        "test": [str(root / name) for name in scores["sample_id"]],
        "labels": scores["label"].tolist(),
    }
    (folder / "asked.json").write_text(json.dumps(asked))
    (folder / "bare.py").write_text(BARE)
    return [sys.executable, str(folder / "bare.py"), str(folder / "asked.json")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("root")
    parser.add_argument("--model", default="timm/vit_tiny_patch16_224")
    parser.add_argument("--pretrained", required=True)
    parser.add_argument("--category", help="Needed where the data set has several.")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    program = [sys.executable, "-c", "from lakeviz.cli import main; main()"]
    command = [*program, "run", given.dataset, "--root", given.root, "--model", given.model]
    command += ["--pretrained", given.pretrained, "--shots", "4", "--k", "20"]
    if given.category:
        command += ["--category", given.category]
    found: dict[str, list[tuple[float, float]]] = {}
    aims = {name: aim for name, (_, aim) in CASES.items()} | {f"again, {AGAIN}": AGAIN_AIM}
    read: dict[str, list[float]] = {name: [] for name in READING}
    for repeat in range(-1, given.repeats):  # the first warms the disk and compiles modules
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            runs = {n: [*command, *o, "--out", str(folder / n)] for n, (o, _) in CASES.items()}
            own = {name: timed(one) for name, one in runs.items()}
            bare = timed(bare_command(folder, folder / next(iter(CASES)), given))
            again = timed(runs[AGAIN])
            finished = str(folder / AGAIN)
            reading = {
                "figure --list": timed([*program, "figure", finished, "--list"])[1],
                "table": timed([*program, "table", finished, "--out", str(folder / "t.tex")])[1],
            }
        if repeat < 0:
            continue
        ratios = {name: (spent, bare) for name, spent in own.items()}
        ratios[f"again, {AGAIN}"] = (again, own[AGAIN])
        for case, (spent, base) in ratios.items():
            found.setdefault(case, []).append((spent[0] / base[0], spent[1] / base[1]))
        for case, spent in reading.items():
            read[case].append(spent)
        print(f"round {repeat + 1}: bare script {bare[0]:.1f} s wall, {bare[1]:.1f} s CPU")
        for case, (wall, cpu) in own.items():
            print(f"  {case}: {wall:.1f} s wall, {cpu:.1f} s CPU")
    for case, ratios in found.items():
        wall, cpu = (statistics.median(r) for r in zip(*ratios, strict=True))
        base = "the first" if case.startswith("again") else "the bare script"
        print(f"{case}: {wall:.2f} of {base} in wall time, {cpu:.2f} in CPU; aim {aims[case]}")
    for case, spent in read.items():
        print(f"{case}: {statistics.median(spent):.1f} CPU seconds; aim {READING_AIM:.0f}")


if __name__ == "__main__":
    main()
