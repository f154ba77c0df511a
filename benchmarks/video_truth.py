"""Which stream finds which planted defect over time: the table of docs/video_results.md.

    python benchmarks/video_truth.py [--stream NAME ...] [--scene belt] [--seeds 0 1]

Drawn clips (``write_video_benchmark``), embedded CLIP, Euclidean distance, six normal clips: AUROC
of the frames of each kind of defect against all normal frames, mean over seeds of the benchmark.
Every stream is measured on the frames that have a token on all of them. ``--shuffled`` puts the
frames of each clip in random order, to fit and to test.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from lakeviz import Lake, load_model, read_dataset
from lakeviz.activations.changes import have_tokens
from lakeviz.data.synthetic import write_video_benchmark
from lakeviz.data.synthetic.video import SCENES, TEMPORAL
from lakeviz.lake.options import VisualOptions
from lakeviz.metrics.image import auroc

SHOTS = 6


def measured(data, streams: list[str]) -> list[dict]:
    """AUROC of each kind by stream, and of streams fused: all, and image with each other."""
    test = data.evaluated()
    kinds = test.frame["defect_type"].to_numpy()
    visual = VisualOptions(distance="euclidean")
    lake = Lake(load_model("tiny"), streams=streams, visual=visual, text_weight=0)
    maps = lake.fit(data.few_shot(SHOTS)).score(test).streams
    counted = have_tokens(lake.points, test.frames, len(test))
    fused = {f"image + {s}": maps["image"] + m for s, m in maps.items() if s != "image"}
    every = {"all": np.sum(list(maps.values()), axis=0)} if len(streams) > 2 else {}
    rows = []
    for stream, own in (maps | fused | every).items():
        scores = own.max(axis=(1, 2))
        for kind in sorted(set(kinds) - {"good"}):
            keep = counted & np.isin(kinds, ["good", kind])
            value = auroc(scores[keep], (kinds == kind)[keep])
            rows.append({"stream": stream, "kind": kind, "AUROC": value})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stream", action="append")
    parser.add_argument("--scene", choices=SCENES, default="belt")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--shuffled", action="store_true")
    asked = parser.parse_args()
    rows: list[dict] = []
    for seed in asked.seeds:
        with tempfile.TemporaryDirectory() as folder:
            root = write_video_benchmark(
                Path(folder), scenes=[asked.scene], n_train=SHOTS, n_per_defect=2, seed=seed
            )
            data = read_dataset("clips", root)[asked.scene]
            if asked.shuffled:
                data = data.shuffled_frames(0)
            rows += measured(data, asked.stream or ["image", "change_4"])
    table = pd.DataFrame(rows).pivot_table(index="kind", columns="stream", values="AUROC")
    table = table[list(dict.fromkeys(row["stream"] for row in rows))]
    temporal = table.index.isin(TEMPORAL)
    table.loc["mean of motion"] = table[temporal].mean()
    table.loc["mean of appearance"] = table[: len(temporal)][~temporal].mean()
    print(table.round(2).to_string())


if __name__ == "__main__":
    main()
