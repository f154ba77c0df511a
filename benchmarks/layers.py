"""Which blocks serve the visual branch: image and pixel AUROC and AUPRO of every block alone.

One pass per category and seed scores all blocks. For instance::

    python benchmarks/layers.py mvtec --root DATA --model tiny --seeds 3
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from lakeviz.data import read_dataset
from lakeviz.lake import Lake
from lakeviz.lake.ground_truth import Truth
from lakeviz.metrics import auroc, pixel_metrics
from lakeviz.models import load_model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--pretrained")
    parser.add_argument("--k", type=int, nargs="+", default=[100])
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--map-size", type=int, default=128)
    parser.add_argument("--category", nargs="*")
    args = parser.parse_args()
    model = load_model(args.model, args.pretrained)
    data = read_dataset(args.dataset, args.root)
    size = (args.map_size, args.map_size)
    rows = []
    for category in args.category or data.categories:
        own = data.category(category)
        test = own.split("test")
        for k in args.k:
            for seed in range(args.seeds):
                layers = tuple(range(model.n_blocks))
                lake = Lake(model, k=k, layers=layers, map_size=size, seed=seed)
                maps = lake.fit(own.few_shot(args.shots, seed)).score(test)
                masks = Truth.of_dataset(test, maps.sizes, maps.map_size).regions
                wanted = ("auroc", "aupro")
                for part in maps.parts:
                    pixel = pixel_metrics(list(maps.pixel_maps(part)), masks, metrics=wanted)
                    image = auroc(maps.image_parts[part], test.labels)
                    rows.append((category, k, seed, part, image, pixel.auroc, pixel.aupro))
    columns = ["category", "k", "seed", "part", "image AUROC", "pixel AUROC", "AUPRO"]
    table = pd.DataFrame(rows, columns=pd.Index(columns))
    table["part"] = table["part"].str.replace("visual/", "").str.replace(".hook_resid_post", "")
    numbers = columns[4:]
    mean = table.pivot_table(index=["k", "part"], values=numbers, sort=False)[numbers]
    spread = table.groupby(["k", "part"], sort=False)["image AUROC"].std()
    print(mean.assign(sd=np.round(spread, 3)).round(3).to_string())


if __name__ == "__main__":
    main()
