"""An autoencoder for the images of a run: trained on normal ones, measured on the test images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lakeviz.activations.token_subsets import capture_tokens
from lakeviz.errors import ConfigError
from lakeviz.lake.provenance import versions
from lakeviz.metrics import Bootstrap
from lakeviz.studies.base.unit_data import reconstructed
from lakeviz.units.autoencoder import AutoencoderUnits
from lakeviz.units.settings import SaeSettings
from lakeviz.units.training import reconstruction, train_sae

if TYPE_CHECKING:
    from torch import Tensor

    from lakeviz.lake import Selection
    from lakeviz.studies.base.captured import StudyData
    from lakeviz.studies.base.study_run import StudyRun

_IMAGE_AUROC = ("image", "auroc")


def train_on_run(
    run: StudyRun,
    settings: SaeSettings,
    *,
    categories: Sequence[str] = (),
    announce: Callable[[str], None] = lambda category: None,
    progress: Callable[[int, float], None] = lambda step, loss: None,
) -> AutoencoderUnits:
    """Train on the patch tokens of normal training images of a run; test images are not seen.

    Parameters
    ----------
    run : StudyRun
    settings : SaeSettings
    categories : sequence of str
        All by default.
    announce, progress : callable, optional
        Told each category that is captured, and each step.

    Returns
    -------
    AutoencoderUnits
        Its ``report`` holds :func:`~lakeviz.units.training.reconstruction` of the patch tokens of
        the test images, and the image AUROC of every category.

    Raises
    ------
    UnknownHookPointError
        If the model has no such hook point.
    ConfigError
        If the name means several hook points, or a setting is impossible.
    """
    model = run.model
    points = model.tower.resolve(settings.point)
    if len(points) != 1:
        raise ConfigError(f"{settings.point!r} means {len(points)} hook points; name one")
    (point,) = points
    parts: list[Tensor] = []
    chosen = run.chosen(categories)
    for category in chosen:
        announce(category)
        pool = run.dataset.category(category).few_shot("all", settings.seed)
        order = np.random.default_rng(settings.seed).permutation(len(pool.paths))
        paths = [pool.paths[i] for i in sorted(order[: settings.images])]
        held = capture_tokens(model, paths, [point], cache=run.cache, loading=run.loading)
        parts.append(held.patches(point).flatten(0, 1))
    tokens = torch.cat(parts)
    units = train_sae(
        tokens,
        point,
        latents=settings.latents,
        k=settings.k,
        steps=settings.steps,
        architecture=settings.architecture,
        batch_size=settings.tokens,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
        made={"model_name": model.name, "weights_hash": model.weights_hash},
        progress=progress,
    )
    data = [run.data(category, points=[point]) for category in chosen]
    report = {
        **reconstruction(units, torch.cat([one.test.patches(point) for one in data])),
        "n_tokens": len(tokens),
        "image_auroc": {one.category: auroc_of_reconstruction(one, units) for one in data},
        "settings": settings.to_plain(),
        "dataset": run.dataset.name,
        "versions": versions(),
    }
    return replace(units, report=report)


def auroc_of_reconstruction(data: StudyData, units: AutoencoderUnits) -> dict[str, Any]:
    """Image AUROC of top-variance neurons at the hook point of the units, and of reconstructions.

    Selection, gallery and test tokens are those of the tokens as they are, or as they are
    reconstructed; None where the test images are of one class.
    """
    own = data.view(points=[units.point])
    found: dict[str, Any] = {}
    for name, one in (("intact", own), ("reconstructed", reconstructed(own, units))):
        aurocs = image_aurocs(one, [one.select(one.options.k, "variance")])
        found[name] = None if aurocs is None else aurocs[0]
    return found


def image_aurocs(
    data: StudyData, selections: Sequence[Mapping[str, Selection]]
) -> list[float] | None:
    """Image AUROC of the visual branch on each selection; None where the images are of one class.

    The test tokens are read, and encoded where they are units, once for all of them.
    """
    evaluator = data.evaluator([_IMAGE_AUROC], Bootstrap(n_resamples=1))
    if _IMAGE_AUROC not in evaluator.measured:
        return None
    maps = data.visual_maps(data.branches(selections))
    return [float(one.values[_IMAGE_AUROC]) for one in evaluator.measure_all(maps)]
