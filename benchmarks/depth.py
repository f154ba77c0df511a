"""Which stream finds which planted defect: the table of docs/tasks/depth.md.

    python benchmarks/depth.py [MODEL WEIGHTS]

Four drawn textures with depth, 8 normal images, three draws: AUROC of images by where the defect
shows, mean over textures and draws, of each stream alone and of all fused.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from lakeviz import Lake, load_model, read_dataset
from lakeviz.data.streams import RENDERINGS
from lakeviz.data.synthetic import RELIEF_DEFECTS, write_relief_benchmark
from lakeviz.lake.score_maps import ScoreMaps

CATEGORIES = ("leather", "cardboard", "granite", "wood")
COUNTS = {"n_train": 24, "n_good": 20, "n_per_defect": 8}


def _alone(lake: Lake, maps: ScoreMaps) -> dict[str, np.ndarray]:
    """Maps of each stream as a detector of it alone has them: layers are not rescaled there."""
    points = lake.visual.points
    parts = {
        f"visual/{p}": maps.parts[f"visual/{p}"] * own.gallery.typical_distance
        for p, own in points.items()
    }
    return replace(maps, parts=parts).streams


def main() -> None:
    model = load_model(*sys.argv[1:]) if len(sys.argv) > 1 else load_model("tiny")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = write_relief_benchmark(Path(folder), categories=CATEGORIES, size=96, **COUNTS)
        for category in CATEGORIES:
            data = read_dataset("mvtec_3d", root, categories=[category])
            kinds = data.split("test").frame["defect_type"]
            shown = kinds.map(lambda kind: " and ".join(RELIEF_DEFECTS.get(kind, ("nowhere",))))
            for draw in data.few_shot_draws(8, draws=3):
                lake = Lake(model, streams=("image", *RENDERINGS), text_weight=0).fit(draw)
                maps = lake.score(data.split("test"))
                for stream, own in (_alone(lake, maps) | {"fused": maps.patch}).items():
                    for where in sorted(set(shown) - {"nowhere"}):
                        chosen = shown.isin(["nowhere", where]).to_numpy()
                        scores = own.max(axis=(1, 2))[chosen]
                        value = roc_auc_score(shown[chosen] == where, scores)
                        rows.append({"stream": stream, "shows in": where, "AUROC": value})
    table = pd.DataFrame(rows).pivot_table(
        index="stream", columns="shows in", values="AUROC", sort=False
    )
    print(table.round(3))


if __name__ == "__main__":
    main()
