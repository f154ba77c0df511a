"""The one pass over the test tokens from which dossiers are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.lake import NeuronSelection, select
from lakeviz.lake.attribution import Memory, split
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.dossier.correlated_neurons import Products
from lakeviz.studies.dossier.topk import PatchesAtRandom, TopPatches
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.neurons.scan import HELD_VALUES, held_activations
from lakeviz.studies.neurons.tested_neurons import Choice

SAMPLED = 4096  # patches in the sample that quantiles are read from
LABEL_PATCHES = 40  # highest patches of which the text label is made


@dataclass
class Shares:
    """Shares of the patches' distances, summed by image.

    Attributes
    ----------
    normal, anomalous : float arrays [image, neuron]
        Sum of the shares over the normal and over the defect patches of each image; without masks
        over all patches of an anomalous image.
    n_normal, n_anomalous : float arrays [image]
        How many patches these are, but for those at distance 0, which have no shares.
    """

    normal: Float[np.ndarray, "image neuron"]
    anomalous: Float[np.ndarray, "image neuron"]
    n_normal: Float[np.ndarray, " image"]
    n_anomalous: Float[np.ndarray, " image"]

    @classmethod
    def empty(cls, n_images: int, n_neurons: int) -> Shares:
        """Make sums of nothing."""
        sums = [np.zeros((n_images, n_neurons)) for _ in range(2)]
        return cls(*sums, *(np.zeros(n_images) for _ in range(2)))


@dataclass
class PointScan:
    """What the pass keeps of one hook point; only ``held`` and the sums by image grow with it.

    Attributes
    ----------
    choice : Choice
    top, bottom : TopPatches
        Of the highest and the lowest activation.
    sample : PatchesAtRandom
    products : Products
    shares : Shares
    held : float array [neuron, image, patch], optional
        Activations of the tested neurons, where all fit in a fixed budget.
    """

    choice: Choice
    top: TopPatches
    bottom: TopPatches
    sample: PatchesAtRandom
    products: Products
    shares: Shares
    memory: Memory = field(repr=False)
    truth: PatchTruth = field(repr=False)
    held: Float[np.ndarray, "neuron image patch"] | None = field(default=None, repr=False)

    def update(self, tokens: Float[Tensor, "image patch channel"], rows: slice) -> None:
        """Take the tokens of some images in."""
        n_images, n_patches, _ = tokens.shape
        images = np.arange(rows.start, rows.start + n_images)
        index = torch.from_numpy(self.choice.tested)
        values = tokens.index_select(2, index).numpy()
        share = self._share(tokens)
        self._add_shares(share, images)
        flat = values.reshape(-1, values.shape[2])
        patches = (images[:, None] * n_patches + np.arange(n_patches)).ravel()
        extras = {"share": share.reshape(flat.shape).astype(np.float32)}
        self.top.update(flat, patches, extras)
        self.bottom.update(flat, patches, extras)
        self.sample.update(flat, patches, extras)
        self.products.update(tokens, images)
        if self.held is not None:
            self.held[:, rows] = values.transpose(2, 0, 1)

    def _share(
        self, tokens: Float[Tensor, "image patch channel"]
    ) -> Float[np.ndarray, "image patch neuron"]:
        """Share of each tested neuron in each patch's distance; NaN at distance 0."""
        parts = split(self.memory, self.memory.chosen(tokens).flatten(0, 1))
        column = np.searchsorted(self.memory.channels, self.choice.tested)
        score = parts.score[:, None]
        own = parts.contribution[:, column]
        share = np.divide(own, score, out=np.full(own.shape, np.nan), where=score > 0)
        return share.reshape(*tokens.shape[:2], -1)

    def _add_shares(self, share: np.ndarray, images: Int[np.ndarray, " image"]) -> None:
        known = np.asarray(np.isfinite(share).all(axis=2))
        filled = np.where(known[..., None], share, 0.0)
        normal = np.repeat(np.equal(self.truth.labels[images], 0), share.shape[1])
        normal = normal.reshape(share.shape[:2])
        found = ~normal if self.truth.reason else self.truth.defect[images]
        for which, sums, counts in (
            (normal & known, self.shares.normal, self.shares.n_normal),
            (found & known, self.shares.anomalous, self.shares.n_anomalous),
        ):
            sums[images] = np.einsum("ip,ipn->in", which.astype(float), filled)
            counts[images] = which.sum(axis=1)

    def activations(
        self, data: StudyData
    ) -> Iterator[tuple[int, Float[np.ndarray, "image patch"]]]:
        """Yield each tested neuron's number and its activations.

        Where they did not fit in the budget, the tokens are read again, for some neurons at a time.
        """
        if self.held is not None:
            yield from enumerate(self.held)
            return
        for places, held in held_activations(data, self.choice.point, self.choice.tested):
            yield from zip(places.tolist(), held.numpy(), strict=True)


def scan(
    data: StudyData,
    choices: Mapping[str, Choice],
    truths: Mapping[str, PatchTruth],
    *,
    n_top: int,
    seed: int,
) -> dict[str, PointScan]:
    """Read the test tokens of all points once."""
    memories = all_channels(data)
    total = sum(
        len(c.tested) * len(data.test) * int(np.prod(data.grids[p])) for p, c in choices.items()
    )
    found = {}
    for point, choice in choices.items():
        n, centre = len(choice.tested), torch.from_numpy(data.statistics[point].mean)
        shape = (n, len(data.test), int(np.prod(data.grids[point])))
        found[point] = PointScan(
            choice,
            TopPatches(max(n_top, LABEL_PATCHES)),
            TopPatches(1, largest=False),
            PatchesAtRandom(SAMPLED, seed),
            Products(choice.tested, centre.double()),
            Shares.empty(len(data.test), n),
            memories[point],
            truths[point],
            np.empty(shape, dtype=np.float32) if total <= HELD_VALUES else None,
        )
    with torch.inference_mode():
        for rows, tokens in data.batches():
            for point, own in found.items():
                own.update(tokens[point].cpu(), rows)
    return found


def all_channels(data: StudyData) -> dict[str, Memory]:
    """The detector's memory in all channels of its points.

    There every neuron, selected or random, has a share, and all are shares of the same distance.
    """
    chosen = {p: select(data.statistics[p], 1, "all") for p in data.points}
    assert all(isinstance(s, NeuronSelection) for s in chosen.values())
    branch = data.branches([chosen])[0]
    return {p: Memory.of_point(branch.points[p], data.normal.patches(p).cpu()) for p in data.points}


def places_of(
    patches: Sequence[int] | Int[np.ndarray, " kept"], n_patches: int
) -> tuple[np.ndarray, np.ndarray]:
    """Image and patch within it of numbers in the whole set."""
    image, patch = np.divmod(np.asarray(patches), n_patches)
    return image, patch
