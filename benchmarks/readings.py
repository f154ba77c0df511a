"""The study ``readings`` over the categories of several data sets, as a table for the docs.

For instance::

    python benchmarks/readings.py mvtec=DATA/hazelnut_toy mtd=DATA/mtd mvtec=DATA/real --k 20 \
        --model timm/vit_tiny_patch16_224 --pretrained WEIGHTS --out RESULTS
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lakeviz.data import read_dataset
from lakeviz.lake import LakeOptions
from lakeviz.metrics import Bootstrap
from lakeviz.models import load_model
from lakeviz.studies import capture_study, readings
from lakeviz.studies.readings.depths import wanted_points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+", help="READER=FOLDER")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--pretrained")
    parser.add_argument("--k", type=int)
    parser.add_argument("--depth", nargs="*")
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--random-sets", type=int, default=20)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    model = load_model(args.model, args.pretrained)
    options = LakeOptions(k=args.k, text_weight=0)
    depths = tuple(args.depth) if args.depth else None
    found = []
    for named in args.datasets:
        reader, _, root = named.partition("=")
        data = read_dataset(reader, Path(root))
        for category in data.categories:
            own = data.category(category)
            captured = capture_study(
                model,
                own.few_shot(args.shots, args.seed),
                own,
                options=options,
                points=wanted_points(model, None, depths),
                cache=args.out / "activations",
            )
            result = readings(
                captured,
                bootstrap=Bootstrap(n_resamples=args.resamples),
                n_random_sets=args.random_sets,
                depths=depths,
            )
            result.to_parquet(args.out / category)
            print(category, result.summary(), flush=True)
            found.append(result)
    joined = type(found[0]).join(found)
    joined.to_parquet(args.out / "all")
    print(joined.summary())
    print(joined.headline().to_markdown(index=False))


if __name__ == "__main__":
    main()
