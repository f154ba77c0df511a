"""Massive activations of a tower, and what its first channel does to the effect of variance.

    python benchmarks/outliers.py mvtec --root hazelnut_toy --model timm/vit_tiny_patch16_224 \
        --pretrained vit_tiny_patch16_224.safetensors --block 6 --block 7 --block 8

Prints Markdown: per category and block the outlier report of four normal images, and the difference
"top k minus lowest k", whole, with the first channel exchanged for the next in variance, and with
massive channels dropped from both sides. One draw of the normal images; intervals over images.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from lakeviz.lake import LakeOptions
from lakeviz.lake.paired_evaluator import compare
from lakeviz.metrics import Bootstrap
from lakeviz.metrics.estimates import Estimate, estimate
from lakeviz.studies.base.captured import StudyData

METRICS = (("image", "auroc"), ("pixel", "aupro"))
CONTROL = "bottom_variance"


@click.command()
@click.argument("reader")
@click.option("--root", type=click.Path(path_type=Path), required=True)
@click.option("--model", "name", required=True)
@click.option("--pretrained")
@click.option("--block", "blocks", type=int, multiple=True, required=True)
@click.option("--k", default=20, show_default=True)
@click.option("--shots", default=4, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(reader, root, name, pretrained, blocks, k, shots, seed) -> None:
    """Print the tables."""
    from lakeviz import load_model, read_dataset
    from lakeviz.studies import capture_study

    model = load_model(name, pretrained)
    dataset = read_dataset(reader, root)
    for category in dataset.categories:
        own = dataset.category(category)
        options = LakeOptions(k=k, text_weight=0, map_size=(128, 128))
        data = capture_study(model, own.few_shot(shots, seed), own, options=options, points=blocks)
        print(f"\n{category}, {shots} normal images, {len(data.test)} test images\n")
        _print_report(data)
        _print_effects(data)


def _print_report(data: StudyData) -> None:
    titles = ("block", "first channel", "share", "sd", "second sd", "participation ratio")
    titles += ("kurtosis", "massive tokens", "median", "on the border", "fixed")
    _row(*titles)
    _row(*["---"] * len(titles))
    for one in data.outliers.points:
        massive = ["0", "", "", ""]
        if one.massive_share:
            massive = [
                f"{one.massive_share:.1%}",
                f"{one.massive_value:.0f}",
                f"{one.border_share:.0%}",
                f"{one.fixed_share:.0%}",
            ]
        _row(
            _block(one.point),
            one.channel,
            f"{one.share:.1%}",
            f"{one.sd:.1f}",
            f"{one.second_sd:.1f}",
            f"{one.participation_ratio:.1f}",
            f"{one.kurtosis:.1f}",
            *massive,
        )


def _print_effects(data: StudyData) -> None:
    evaluator = data.evaluator(METRICS, Bootstrap(n_resamples=500))
    print()
    measured = [f"{level} {metric.upper()}" for level, metric in evaluator.measured]
    titles = [f"{how}, {what}" for what in measured for how in ("whole", "exchanged", "dropped")]
    _row("block", *titles)
    _row(*["---"] * (len(titles) + 1))
    for point in data.points:
        alone = data.view(points=[point])
        dropped = alone.view(options=replace(data.options, drop_channels="massive"))
        k = data.options.k
        selections = [
            alone.select(k),
            alone.select(k, "variance_without_first"),
            alone.select(k, CONTROL),
            dropped.select(k),
            dropped.select(k, CONTROL),
        ]
        maps = alone.visual_maps(alone.branches(selections))
        whole, exchanged, low, rest, low_rest = (evaluator.measure(one) for one in maps)
        found: dict[tuple[str, str], list[Estimate]] = {}
        for own, control in ((whole, low), (exchanged, low), (rest, low_rest)):
            for row in compare(own, {CONTROL: control}, evaluator):
                key = row["level"], row["metric"]
                found.setdefault(key, []).append(estimate(row, "difference"))
        cells = [e.text(3, signed=True) for metric in evaluator.measured for e in found[metric]]
        _row(_block(point), *cells)


def _block(point: str) -> str:
    return point.split(".")[1]


def _row(*cells: object) -> None:
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
