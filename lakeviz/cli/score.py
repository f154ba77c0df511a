"""``lakeviz score``: the maps of any detector under lakeviz' metrics."""

from __future__ import annotations

from typing import Any

import click

from lakeviz.cli.options import image_size
from lakeviz.cli.settings import PATH, SEEDS, Number, Whole
from lakeviz.cli.terminal import say
from lakeviz.files import write_csv
from lakeviz.wording import minus


def _size(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | str | None:
    return value if value == "mask" else image_size(context, parameter, value)


@click.command()
@click.option(
    "--maps",
    type=PATH,
    required=True,
    help="Folder of .npy, .npz, grey .png or .tif, one per image; or one .npz with an array each.",
)
@click.option(
    "--masks",
    type=PATH,
    required=True,
    help="Folder of masks, of the same relative names (NAME or NAME_mask).",
)
@click.option(
    "--scores",
    type=PATH,
    help="CSV with sample_id and score of every image; by default a rule on the map.",
)
@click.option("--out", type=PATH, required=True, help="Folder of results.")
@click.option("--name", default="maps", help="What the table calls the set.")
@click.option(
    "--map-size",
    callback=_size,
    help='Measure at N, HxW, or "mask" (each mask\'s size); by default maps and masks must agree.',
)
@click.option(
    "--normal-without-mask",
    is_flag=True,
    help="Images without a mask are normal; else only those in a folder called good or normal.",
)
@click.option("--image-score", default="max", help="max or top_mean.")
@click.option("--smoothing", type=Number(0, 1000), default=0.0, help="Sigma in pixels.")
@click.option("--resamples", type=Whole(1), default=2000, help="Of the bootstrap.")
@click.option("--seed", type=Whole(0, SEEDS), default=0, help="Of the bootstrap.")
def score(**given: Any) -> None:
    """Measure the score maps of any detector.

    They are measured exactly as those of lakeviz. Writes metrics.csv, metrics.parquet,
    scores.parquet and study.json, which says what made them.
    """
    from lakeviz.cli.tables import show
    from lakeviz.lake import ImageScoreRule
    from lakeviz.metrics import Bootstrap
    from lakeviz.studies.score_maps import score_maps

    rule = ImageScoreRule(given.pop("image_score"))
    out, n, seed = (given.pop(name) for name in ("out", "resamples", "seed"))
    bootstrap = Bootstrap(n_resamples=n, seed=seed)
    result = score_maps(
        given.pop("maps"), given.pop("masks"), image_score=rule, bootstrap=bootstrap, **given
    )
    folder = result.to_parquet(out)
    write_csv(folder / "metrics.csv", result.metrics)
    columns = ["level", "metric", "value", "low", "high"]
    table = result.metrics.filter(columns)
    for column in columns[2:]:
        table[column] = [f"{v:.3f}" if v == v else "-" for v in table[column]]
    show(table)
    say(f"\n{minus(result.summary())}")
    for note in result.notes:
        say(f"note: {note}")
    for row in result.metrics.to_dict("records"):
        if row["reason"]:
            say(f"note: {row['level']} {row['metric']}: {row['reason']}")
    say(f"\nresults: {folder}")
