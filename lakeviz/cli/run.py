"""``lakeviz run``: the main job on a data set; ``lakeviz demo``: on synthetic images."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lakeviz.cli.options import make_loading, make_options, run_options
from lakeviz.cli.settings import PATH, SEEDS, Whole
from lakeviz.cli.terminal import announce, say
from lakeviz.errors import ConfigError, DataError

if TYPE_CHECKING:
    from lakeviz.runs.run_folder import RunFolder
    from lakeviz.runs.spec import RunSpec

_AS_GIVEN = (
    *("model", "image_size", "preprocess", "quick_gelu", "precision", "device", "aspect"),
    *("draws", "seed", "bootstrap_seed", "random_controls", "untrained"),
)
"""Settings of a run that are options of the same name."""


@click.command()
@run_options
def run(dataset: str | None, manifest: Path | None, out: Path, **given: Any) -> None:
    """Fit LAKE on a few normal images and score the test images.

    The images are those of DATASET; results and a report are written to --out. Running the same
    command again goes on where it stopped.
    """
    from lakeviz.runs.run import execute

    spec = asked_spec(dataset, manifest, given)
    finish(execute(spec, out, loading=make_loading(given), announce=announce))


def asked_spec(dataset: str | None, manifest: Path | None, given: dict[str, Any]) -> RunSpec:
    """Settings of a run: of a manifest that is to be repeated, or of the options."""
    from lakeviz.runs.images import require_images_of
    from lakeviz.runs.run_folder import read_manifest
    from lakeviz.runs.spec import RunSpec

    if manifest is not None:
        made = read_manifest(manifest)
        spec = RunSpec.from_manifest(made)
        if given["root"] is not None:
            spec = replace(spec, root=str(given["root"]))
        given = given | {"split_seed": None}  # that of the manifest
        options = spec.reader_options | make_reader_options(spec.dataset, spec.root, given)
        spec = replace(spec, reader_options=options)
        require_images_of(made, spec)
        return spec
    if dataset is None or given["root"] is None:
        raise ConfigError("name a data set and its --root, or a manifest with --from")
    return make_spec(dataset, given)


def make_spec(dataset: str, given: dict[str, Any]) -> RunSpec:
    """Turn the options of the command line into a run's settings."""
    from lakeviz.data import FewShotDraw, read_dataset
    from lakeviz.runs.spec import RunSpec

    reader_options = make_reader_options(dataset, given["root"], given)
    lists: dict[str, list[tuple[str, ...]]] = {}
    if given["lists"]:
        data = read_dataset(dataset, given["root"], **reader_options)
        for path in given["lists"]:
            draw = FewShotDraw.from_manifest(path, data)
            lists.setdefault(draw.category, []).append(draw.sample_ids)
    shots = given["shots"]
    if shots != "all" and not (shots.isdecimal() and len(shots) < 10):
        raise ConfigError(f'--shots must be a number or "all", not {shots!r}')
    pretrained = given["pretrained"]
    return RunSpec(
        dataset=dataset,
        root=str(given["root"]),
        pretrained=True if pretrained == "true" else pretrained,
        categories=given["categories"] or None,
        shots=shots if shots == "all" else int(shots),
        few_shot_lists={category: tuple(found) for category, found in lists.items()},
        options=make_options(given),
        controls=() if given["no_controls"] else given["controls"],
        reader_options=reader_options,
        **{name: given[name] for name in _AS_GIVEN},
    )


def make_reader_options(dataset: str, root: str | Path, given: dict[str, Any]) -> dict[str, Any]:
    """Options of the reader: those of ``--reader``, and the seed of the split."""
    from lakeviz.data.registry import parse_options, reader_of

    seed = given["split_seed"]
    texts = [*given["reader_options"], *([] if seed is None else [f"split_seed={seed}"])]
    if not texts:
        return {}
    layout = reader_of(dataset, root)
    return parse_options(layout.name, layout.options, texts)


def finish(run: RunFolder, **said: Any) -> None:
    """Write the report and print the tables.

    Parameters
    ----------
    run : RunFolder
    said
        What the report says of the run instead of its settings: ``groups`` (lists of categories
        reported apart, by name) and ``groups_note`` on them, ``dataset``, ``command``. Kept in the
        manifest for later reports.
    """
    from lakeviz.cli.run_tables import (
        controls_table,
        metrics_table,
        missing_metrics,
        streams_table,
        what_brackets_hold,
    )
    from lakeviz.cli.tables import show
    from lakeviz.files import write_json
    from lakeviz.report.run_report import write_run_report
    from lakeviz.runs.manifest import MANIFEST
    from lakeviz.tables import records, rows

    if said and run.manifest.get("report") != said:
        run.manifest["report"] = said
        write_json(run.folder / MANIFEST, run.manifest)
    report = write_run_report(run)
    show(metrics_table(run), index=True)
    if brackets := what_brackets_hold(run):
        say(brackets)
    if len(run.finished) > 1:
        say("in parentheses: categories behind a mean, whose interval is Student's over them")
    for line in missing_metrics(run):
        say(line)
    if not (streams := streams_table(run)).empty:
        say("\nvisual branch: each stream alone, and all fused; by kind of defect: streams.csv")
        show(streams, index=True)
    controls = run.table("controls")
    compared = controls["difference"].notna().to_numpy()
    absent, controls = rows(controls, ~compared), rows(controls, compared)
    if not controls.empty:
        every = "all takes every channel; " if "all" in set(controls["control"]) else ""
        say(f"\nvisual branch minus controls; {every}the rest take as many as LAKE;")
        say("means over categories (each: controls.csv and the report)")
        show(controls_table(controls))
    for row in records(absent.drop_duplicates("control")):
        say(f"not measured: {row['control']}: {row['reason']}")
    of_data = (n for category in run.finished for n in run.provenance(category).get("notes", ()))
    for note in dict.fromkeys(of_data):
        say(f"note: {note}")
    for category in run.finished:
        if warning := run.provenance(category).get("outlier_warning"):
            say(f"note: {category}: {warning}")
    skipped = sum(len(entry["skipped"]) for entry in run.manifest["categories"].values())
    if skipped:
        say(f"\n{skipped} unreadable images were skipped; the manifest lists them")
    say(f"\nresults: {run.folder}\nreport:  {report}")


@click.command()
@click.option("--out", type=PATH, default=Path("lakeviz-demo"))
@click.option("--category", "categories", multiple=True, help="Only these; repeatable.")
@click.option("--shots", type=Whole(1, 16), default=4, help="Normal images per category.")
@click.option("--seed", type=Whole(0, SEEDS), default=0)
@click.option(
    "--draws",
    type=Whole(1, 16),
    default=2,
    help="Draws of the normal images; time grows with them.",
)
@click.option("--size", type=Whole(16, 4096), default=96, help="Side of the pictures in pixels.")
def demo(
    out: Path, categories: tuple[str, ...], shots: int, seed: int, draws: int, size: int
) -> None:
    """Run LAKE on a synthetic benchmark, offline.

    Draws the images, runs the embedded CLIP on them and writes a report. Needs no data, no download
    and no network.
    """
    from lakeviz.data.dataset import unknown_category
    from lakeviz.data.synthetic import CATEGORIES, HELD_OUT, TRAINED, write_benchmark
    from lakeviz.lake.options import LakeOptions
    from lakeviz.runs.run import execute
    from lakeviz.runs.spec import RunSpec

    data = out / "data"
    chosen = categories or CATEGORIES
    for name in chosen:
        if name not in CATEGORIES:
            raise DataError(unknown_category(name, CATEGORIES, "the synthetic benchmark"))
    say(f"drawing {len(chosen)} categories into {data} ...", err=True)
    write_benchmark(data, categories=chosen, size=size, seed=seed)
    spec = RunSpec(
        dataset="mvtec",
        root=str(data),
        categories=chosen,
        shots=shots,
        draws=draws,
        seed=seed,
        options=LakeOptions(seed=seed),
        controls=("all", "random"),  # a first look in two minutes; `lakeviz run` has them all
    )
    run = execute(spec, out / "results", announce=announce)
    named = {"trained": TRAINED, "held-out": HELD_OUT}
    groups = {name: [c for c in chosen if c in members] for name, members in named.items()}
    note = "trained: categories like those tiny was trained on; held-out: others"
    say(note)
    finish(
        run,
        groups={name: members for name, members in groups.items() if members},
        groups_note=note,
        dataset="the synthetic benchmark",
        command=_command(click.get_current_context()),
    )


def _command(context: click.Context) -> str:
    """The command with every option that is not at its default."""
    words = ["lakeviz", "demo"]
    for option in context.command.params:
        value = context.params[str(option.name)]
        if value in (option.default, ()):
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [max(option.opts, key=len), str(one)]
    return shlex.join(words)
