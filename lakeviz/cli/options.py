"""Options that several commands share, and how they become settings."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lakeviz.activations.loading import Loading
from lakeviz.cli.settings import PATH, SEEDS, Number, Whole, renamed, settings_options, stack
from lakeviz.runs.manifest import DEFAULT_CONTROLS
from lakeviz.settings import check_pixels

if TYPE_CHECKING:
    from lakeviz.lake import LakeOptions

Command = Callable[..., Any]


def image_size(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """Read ``N`` or ``HxW`` as (height, width); ``image`` and nothing at all as None."""
    if value is None or value == "image":
        return None
    parts = value.lower().split("x")
    if len(parts) > 2 or not all(part.isdecimal() and len(part) < 10 for part in parts):
        raise click.BadParameter(f"{value!r} is neither N nor HxW")
    size = int(parts[0]), int(parts[-1])
    check_pixels(size, parameter.human_readable_name.replace("_", " "))
    return size


def drop_channels(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | float | tuple[int, ...] | None:
    """Read ``massive``, a share such as 0.3, or channels such as 41,12."""
    if value is None or value == "massive":
        return value
    try:
        return float(value) if "." in value else tuple(int(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(
            f"{value!r} is neither massive nor a share such as 0.3 nor channels such as 41,12"
        ) from error


detector_options = stack(
    click.option(
        "--k",
        type=Whole(1),
        help="Neurons per hook point; 100 by default, at most an eighth of the channels.",
    ),
    click.option(
        "--selection-scope",
        default="layer",
        help="layer: k at each hook point; joint: k of all together, by raw variance.",
    ),
    click.option(
        "--layer",
        "layers",
        multiple=True,
        help="Block number, hook point or glob; repeatable. Default: by architecture.",
    ),
    click.option(
        "--stream",
        "streams",
        multiple=True,
        default=("image",),
        help="Source of patch tokens: image; change_N, deviation_N or log_deviation_N (over N "
        "frames); depth, normals or curvature, with _effect minus a constant depth; "
        "repeatable.",
    ),
    click.option("--selector", default="variance"),
    click.option("--text-weight", type=Number(0, 1), help="0.3 by default, 0 without text."),
    click.option(
        "--text-layer", type=Whole(-1000, 1000), help="Block for text; the last by default."
    ),
    click.option("--text-attention", default="plain", help="plain or value_value."),
    click.option("--distance", default="cosine", help="or euclidean."),
    click.option("--center", is_flag=True, help="Subtract the mean of the normal tokens first."),
    click.option(
        "--reference",
        default="gallery",
        help="gallery: nearest normal tokens; prototype: their mean.",
    ),
    click.option("--neighbours", type=Whole(1), default=1),
    click.option("--normalisation", default="none", help="none, layernorm, l2 or zscore."),
    click.option("--normalisation-stage", default="before", help="before or after the selection."),
    click.option("--coreset", type=Number(0, 1), default=1.0, help="Share of normal tokens kept."),
    click.option(
        "--drop-channels",
        callback=drop_channels,
        help="Channels no selection takes: massive, a share of the variance (0.3), or 41,12.",
    ),
    click.option(
        "--drop-tokens",
        default="none",
        help="Leave massive tokens out of: none, selection, gallery or both.",
    ),
    click.option("--image-score", default="max", help="max or top_mean."),
    click.option("--smoothing", type=Number(0, 1000), default=0.0, help="Sigma in pixels."),
    click.option(
        "--frame-smoothing",
        type=Number(0, 1000),
        default=0.0,
        help="Sigma in frames; the table of clips shows smoothed scores, too.",
    ),
    click.option(
        "--map-size",
        callback=image_size,
        default="256",
        help='Size of pixel maps and masks in metrics: N, HxW, or "image" for full size.',
    ),
    click.option(
        "--control",
        "controls",
        multiple=True,
        default=DEFAULT_CONTROLS,
        help="Selector to compare with at the same size, other_category or shuffled_frames; "
        "repeatable.",
    ),
    click.option("--no-controls", is_flag=True, help="Leave the controls out."),
)


def _control_options(prefix: str) -> Callable[[Command], Command]:
    """How many members the controls of a run have."""
    return stack(
        click.option(
            f"--{prefix}random-sets",
            "random_controls",
            type=Whole(1, 1000),
            default=5,
            help="Random sets of each random control of the run.",
        ),
        renamed("--random-controls", f"--{prefix}random-sets", "random_controls"),
        click.option(
            f"--{prefix}untrained",
            "untrained",
            type=Whole(0, 100),
            default=0,
            help="Untrained towers the run is compared with; each costs one more pass.",
        ),
    )


loading_options = settings_options(Loading)
resamples_option = click.option(
    "--resamples", type=Whole(1), default=1000, help="Number of bootstrap resamples."
)
run_folder_options = stack(
    click.option("--category", "categories", multiple=True, help="Restrict to these (repeatable)."),
    click.option("--root", type=PATH, help="Where the data lie now."),
    click.option("--device", help="Another device than the run's."),
)
"""Of commands that go on with the folder of a run."""

_DATA = stack(
    click.argument("dataset", required=False),
    click.option("--root", type=PATH, help="Folder of the data set."),
    click.option("--category", "categories", multiple=True, help="Only these; repeatable."),
    click.option("--model", default="tiny", help="Model name; see lakeviz models."),
    click.option("--pretrained", help='open_clip tag, weights file, "true" (timm) or "random".'),
    click.option("--image-size", callback=image_size, help="Input size of the model: N or HxW."),
    click.option(
        "--aspect",
        default="squash",
        help="How images become inputs: squash, letterbox (filled), crop (the middle) or "
        "tile_RxC (in R rows and C columns of parts).",
    ),
    click.option(
        "--preprocess",
        help="Tag or configuration file (JSON) whose preprocessing the weights were trained "
        "with, where it is not known.",
    ),
    click.option(
        "--quick-gelu/--gelu",
        default=None,
        help="Activation of the model, where the name of the weights says another.",
    ),
    click.option("--precision", default="fp32", help="fp32, bf16 or fp16."),
    click.option("--device", default="cpu", help="cpu or cuda."),
    click.option("--shots", default="4", help='Normal images, or "all".'),
    click.option(
        "--draws",
        type=Whole(1),
        help="Draws of the normal images that results are over; by default 5, or as many as "
        "share no image.",
    ),
    click.option(
        "--seed", type=Whole(0, SEEDS), default=0, help="Seed of the draws of normal images."
    ),
    click.option(
        "--set-seed", type=Whole(0, SEEDS), default=0, help="Seed of random sets and coresets."
    ),
    click.option(
        "--bootstrap-seed", type=Whole(0, SEEDS), default=0, help="Seed of resamples of images."
    ),
    click.option(
        "--few-shot-list",
        "lists",
        multiple=True,
        type=PATH,
        help="Text file with the normal images of a category, one path a line; repeatable, "
        "several of a category are several draws.",
    ),
    click.option(
        "--split-seed",
        type=Whole(0, SEEDS),
        help="Seed of the split, for data sets without one.",
    ),
    click.option(
        "--reader",
        "reader_options",
        multiple=True,
        metavar="KEY=VALUE",
        help="Option of the reader of DATASET; repeatable. lakeviz datasets NAME lists them.",
    ),
)
_PLACE = stack(
    click.option("--out", type=PATH, default=Path("lakeviz-out")),
    click.option(
        "--from",
        "manifest",
        type=PATH,
        help="Manifest of a run to repeat, on the same normal images.",
    ),
)
run_options, run_first_options = (
    stack(_DATA, detector_options, _control_options(prefix), loading_options, _PLACE)
    for prefix in ("", "run-")
)
"""Everything that makes a run: ``dataset``, ``manifest``, ``out`` and the rest.

The second is of commands that make the run first and have random sets and untrained towers of
their own.
"""


def make_options(given: dict[str, Any]) -> LakeOptions:
    """Build the detector's settings from the options of the command line."""
    from lakeviz.lake.options import (
        ImageScoreRule,
        LakeOptions,
        Normalisation,
        TextOptions,
        VisualOptions,
    )

    own = ("k", "selector", "text_weight", "smoothing", "map_size", "drop_channels", "drop_tokens")
    own += ("selection_scope", "streams", "frame_smoothing")
    visual = ("distance", "neighbours", "coreset", "center", "reference")
    return LakeOptions(
        layers=given["layers"] or None,
        visual=VisualOptions(
            normalisation=Normalisation(given["normalisation"], given["normalisation_stage"]),
            **{name: given[name] for name in visual},
        ),
        text=TextOptions(layer=given["text_layer"], attention=given["text_attention"]),
        image_score=ImageScoreRule(given["image_score"]),
        seed=given["set_seed"],
        **{name: given[name] for name in own},
    )


def make_loading(given: dict[str, Any]) -> Loading:
    """Build the reading settings, with a progress bar where there is a terminal."""
    how = given["batch_size"], given["workers"], given["skip_bad"]
    return Loading(*how, progress=sys.stderr.isatty())
