"""``lakeviz demo``: the main job on the synthetic benchmark with the embedded model, offline."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from lakeviz.cli.settings import PATH, SEEDS, Whole
from lakeviz.cli.terminal import announce, say


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
    from lakeviz.cli.run import finish
    from lakeviz.data.dataset import unknown_category
    from lakeviz.data.synthetic import CATEGORIES, HELD_OUT, TRAINED, write_benchmark
    from lakeviz.errors import DataError
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
