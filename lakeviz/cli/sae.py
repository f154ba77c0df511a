"""``lakeviz sae``: sparse autoencoders as units in place of neurons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lakeviz.cli.options import loading_options, run_folder_options
from lakeviz.cli.settings import PATH, with_settings
from lakeviz.cli.study import announce, open_run
from lakeviz.cli.terminal import say


def _settings() -> Any:
    from lakeviz.units.settings import SaeSettings

    return SaeSettings


@click.group()
def sae() -> None:
    """Train sparse autoencoders, for latents instead of neurons."""


@sae.command(cls=with_settings(_settings))
@click.argument("run", type=PATH)
@run_folder_options
@click.option("--out", type=PATH, required=True, help="Folder to write.")
@loading_options
def train(run: Path, categories: tuple[str, ...], out: Path, **given: Any) -> None:
    """Train one on the normal training images of RUN, the folder of a lakeviz run.

    Writes cfg.json and sae_weights.safetensors as SAELens does, and says how well the test images
    of RUN are reconstructed. In Python: Lake(model, units=load_sae(FOLDER), k=...).
    """
    from lakeviz.studies.base.sae_training import train_on_run
    from lakeviz.units.settings import SaeSettings
    from lakeviz.units.training import save_sae

    settings = SaeSettings(**{name: given.pop(name) for name in SaeSettings.options()})
    opened = open_run(run, given | {"map_size": (128, 128)})
    units = train_on_run(opened, settings, categories=categories, announce=announce)
    folder, found = save_sae(units, out), units.report
    say(
        f"{units.n_units} latents of {units.point}, from {found['n_tokens']} tokens; on the test "
        f"images: explained variance {found['explained_variance']:.3f} "
        f"({found['explained_by_channel']:.3f} by channel), {found['l0']:.1f} latents active per "
        f"token, {100 * found['dead']:.0f} % never"
    )
    for category, auroc in found["image_auroc"].items():
        if auroc["intact"] is not None:
            say(
                f"{category}: image AUROC {auroc['intact']:.3f} as it is, "
                f"{auroc['reconstructed']:.3f} where reconstructions replace the activation"
            )
    say(f"\nSAE: {folder}")
