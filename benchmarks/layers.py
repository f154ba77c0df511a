"""Default layers: chosen on one group of categories, reported on another.

Every block alone and every two neighbouring blocks together, as the mean over the categories of
each group. The choice is the candidate of highest image AUROC on the choosing group; the reporting
group has no say in it. Each image goes through the tower once. For instance::

    python benchmarks/layers.py mvtec=DATA/real mtd=DATA/mtd mvtec=DATA/hazelnut_toy \
        --choose solar_mono textile metal_plate --model timm/vit_tiny_patch16_224 \
        --pretrained WEIGHTS --cache FOLDER
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lakeviz.data import Dataset, read_dataset
from lakeviz.lake import LakeOptions, default_layers
from lakeviz.metrics import Bootstrap
from lakeviz.models import load_model
from lakeviz.studies import StudyData, capture_study

METRICS = (("image", "auroc"), ("pixel", "auroc"), ("pixel", "aupro"))
_EXACT = Bootstrap(n_resamples=1)


def main() -> None:
    args = _arguments()
    model = load_model(args.model, args.pretrained)
    blocks = list(range(model.n_blocks))
    candidates = [(b,) for b in blocks] + [(b, b + 1) for b in blocks[:-1]]
    rows = []
    for category, own in _categories(args.datasets, args.category):
        group = "choose" if category in args.choose else "report"
        for seed in range(args.seeds):
            data = capture_study(
                model,
                own.few_shot(args.shots, seed),
                own,
                options=LakeOptions(k=args.k, seed=seed),
                points=blocks,
                cache=args.cache,
            )
            rows += [
                {"group": group, "category": category, "seed": seed, "blocks": c, **found}
                for c, found in _measured(data, candidates)
            ]
        print(category, flush=True)
    table = pd.DataFrame(rows)
    default = tuple(int(point.split(".")[1]) for point in default_layers(model))
    for group in ("choose", "report"):
        of_group = table[table["group"] == group]
        if of_group.empty:
            print(f"\nno category to {group} on")
            continue
        # Means over seeds first, so that a category counts once.
        names = [" ".join(metric) for metric in METRICS]
        of_category: Any = of_group.groupby(["category", "blocks"], sort=False)[names].mean()
        mean = of_category.groupby("blocks", sort=False).mean()
        print(f"\n{group}: {', '.join(dict.fromkeys(of_group['category']))}")
        print(mean.round(3).to_string())
        if group == "choose":
            best = mean["image auroc"].idxmax()
            gap = of_category["image auroc"].unstack("blocks")
            gap = (gap[best] - gap[default]).to_numpy()
            print(f"chosen: {best}; the default is {default}, {gap.mean():+.3f} behind,")
            print(f"per category {np.round(gap, 3).tolist()}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+", help="READER=FOLDER")
    parser.add_argument("--choose", nargs="+", required=True, help="categories to choose on")
    parser.add_argument("--category", nargs="*", help="only these")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--pretrained")
    parser.add_argument("--k", type=int, help="the default of the width otherwise")
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cache", type=Path)
    return parser.parse_args()


def _categories(datasets: list[str], only: list[str] | None) -> Iterator[tuple[str, Dataset]]:
    for named in datasets:
        reader, _, root = named.partition("=")
        data = read_dataset(reader, Path(root))
        for category in data.categories:
            if not only or category in only:
                yield category, data.category(category)


def _measured(
    data: StudyData, candidates: list[tuple[int, ...]]
) -> Iterator[tuple[tuple[int, ...], dict[str, float]]]:
    evaluator = data.evaluator(METRICS, _EXACT)
    for blocks in candidates:
        view = data.view(points=[f"blocks.{b}.hook_resid_post" for b in blocks])
        (maps,) = view.visual_maps(view.branches([view.select(data.options.k)]))
        found = evaluator.measure(data.fuse(maps)).values
        yield blocks, {" ".join(metric): found.get(metric, np.nan) for metric in METRICS}


if __name__ == "__main__":
    main()
