"""The one pass over the test tokens from which dossiers are made, and the patches it keeps.

Whatever the batches and their order, the same patches are kept: a patch is named by its number in
the whole set, ties go to the lower number, and the sample is decided by a hash of that number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.lake import select
from lakeviz.lake.attribution import NeuronGallery, split
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.dossier.correlated_neurons import Products
from lakeviz.studies.neurons.patch_labels import PatchTruth
from lakeviz.studies.neurons.tested_neurons import HELD_VALUES, Choice, held_activations

SAMPLED = 4096  # patches in the sample that quantiles are read from
LABEL_PATCHES = 40  # highest patches of which the text label is made

Numbers = Int[np.ndarray, " patch"]
Values = Float[np.ndarray, "patch neuron"]


@dataclass
class TopPatches:
    """The ``k`` patches of highest (or lowest) activation of each neuron, the most extreme first.

    Their numbers in the whole set, activations, and the neuron's shares of the patches' distances.
    """

    k: int
    largest: bool = True
    patch: Int[np.ndarray, "neuron kept"] = field(default_factory=lambda: np.empty((0, 0), int))
    value: Float[np.ndarray, "neuron kept"] = field(default_factory=lambda: np.empty((0, 0)))
    share: Float[np.ndarray, "neuron kept"] = field(default_factory=lambda: np.empty((0, 0)))

    def update(self, patches: Numbers, values: Values, shares: Values) -> None:
        """Take more patches in; none may come twice."""
        ascending = np.argsort(patches, kind="stable")
        signed = -values if self.largest else values
        best = ascending[np.argsort(signed[ascending], axis=0, kind="stable")[: self.k]]
        found = [patches[best].T, *(np.take_along_axis(v, best, 0).T for v in (values, shares))]
        if self.patch.size:
            kept = (self.patch, self.value, self.share)
            found = [np.concatenate(pair, axis=1) for pair in zip(kept, found)]
        signed = -found[1] if self.largest else found[1]
        order = np.lexsort((found[0], signed), axis=1)[:, : self.k]
        self.patch, self.value, self.share = (np.take_along_axis(v, order, 1) for v in found)


@dataclass
class PatchesAtRandom:
    """A uniform sample of patches, the same ones for all neurons, in ascending order.

    A patch is in the sample if the hash of its number is among the ``size`` lowest.
    """

    size: int
    seed: int = 0
    patch: Int[np.ndarray, " kept"] = field(default_factory=lambda: np.empty(0, int))
    value: Float[np.ndarray, "kept neuron"] = field(default_factory=lambda: np.empty((0, 0)))
    share: Float[np.ndarray, "kept neuron"] = field(default_factory=lambda: np.empty((0, 0)))

    def update(self, patches: Numbers, values: Values, shares: Values) -> None:
        """Take more patches in; none may come twice."""
        found = [patches, values, shares]
        if self.patch.size:
            kept = (self.patch, self.value, self.share)
            found = [np.concatenate(pair) for pair in zip(kept, found)]
        keep = np.lexsort((found[0], _hashed(found[0], self.seed)))[: self.size]
        keep = keep[np.argsort(found[0][keep])]
        self.patch, self.value, self.share = (v[keep] for v in found)

    def at(self, quantile: float) -> Int[np.ndarray, " neuron"]:
        """Positions in the sample of the patch at a quantile of each neuron's activation."""
        order = np.argsort(self.value, axis=0, kind="stable")
        return order[round(quantile * (len(order) - 1))]


def _hashed(numbers: Int[np.ndarray, " n"], seed: int) -> np.ndarray:
    """SplitMix64 of numbers: Steele, Lea and Flood, OOPSLA 2014."""
    with np.errstate(over="ignore"):
        z = numbers.astype(np.uint64) + np.uint64(seed) * np.uint64(0xD1342543DE82EF95)
        z = (z + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


@dataclass
class PointScan:
    """What the pass keeps of one hook point; only ``held`` and the sums by image grow with it.

    ``gallery`` is of the detector that reads all channels. ``share_sums`` are shares of the
    patches' distances, summed over the normal patches (class 0) and the defect patches (1) of each
    image, without masks over all patches of an anomalous image; ``share_counts`` how many these
    are, but for those at distance 0. ``held``: activations of the tested neurons, where all fit in
    a fixed budget.
    """

    choice: Choice
    truth: PatchTruth
    gallery: NeuronGallery = field(repr=False)
    top: TopPatches
    bottom: TopPatches
    sample: PatchesAtRandom
    products: Products
    share_sums: Float[np.ndarray, "2 image neuron"]
    share_counts: Float[np.ndarray, "2 image"]
    held: Float[np.ndarray, "neuron image patch"] | None = field(default=None, repr=False)

    def update(self, tokens: Float[Tensor, "image patch channel"], rows: slice) -> None:
        """Take the tokens of some images in."""
        n_images, n_patches, _ = tokens.shape
        images = np.arange(rows.start, rows.start + n_images)
        values = tokens.index_select(2, torch.from_numpy(self.choice.tested)).numpy()
        shares = self._shares(tokens)
        self._add_shares(shares, rows)
        flat = values.reshape(-1, values.shape[2])
        patches = (images[:, None] * n_patches + np.arange(n_patches)).ravel()
        for kept in (self.top, self.bottom, self.sample):
            kept.update(patches, flat, shares.reshape(flat.shape).astype(np.float32))
        self.products.update(tokens, images)
        if self.held is not None:
            self.held[:, rows] = values.transpose(2, 0, 1)

    def _shares(
        self, tokens: Float[Tensor, "image patch channel"]
    ) -> Float[np.ndarray, "image patch neuron"]:
        """Share of each tested neuron in each patch's distance; NaN at distance 0."""
        parts = split(self.gallery, self.gallery.chosen(tokens).flatten(0, 1))
        own = parts.contribution[:, np.searchsorted(self.gallery.channels, self.choice.tested)]
        score = parts.score[:, None]
        share = np.divide(own, score, out=np.full(own.shape, np.nan), where=score > 0)
        return share.reshape(*tokens.shape[:2], -1)

    def _add_shares(self, shares: Float[np.ndarray, "image patch neuron"], rows: slice) -> None:
        known = np.asarray(np.isfinite(shares).all(axis=2))
        filled = np.where(known[..., None], shares, 0.0)
        normal = np.broadcast_to((self.truth.labels[rows] == 0)[:, None], known.shape)
        defect = ~normal if self.truth.reason else self.truth.defect[rows]
        for number, patches in enumerate((normal & known, defect & known)):
            self.share_sums[number, rows] = np.einsum("ip,ipn->in", patches.astype(float), filled)
            self.share_counts[number, rows] = patches.sum(axis=1)

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
    n_images, galleries = len(data.test), all_channels(data)
    shapes = {p: (len(c.tested), n_images, int(np.prod(data.grids[p]))) for p, c in choices.items()}
    is_held = sum(int(np.prod(shape)) for shape in shapes.values()) <= HELD_VALUES
    found = {
        point: PointScan(
            choice,
            truths[point],
            galleries[point],
            TopPatches(max(n_top, LABEL_PATCHES)),
            TopPatches(1, largest=False),
            PatchesAtRandom(SAMPLED, seed),
            Products(choice.tested, torch.from_numpy(data.statistics[point].mean).double()),
            np.zeros((2, n_images, len(choice.tested))),
            np.zeros((2, n_images)),
            np.empty(shapes[point], dtype=np.float32) if is_held else None,
        )
        for point, choice in choices.items()
    }
    with torch.inference_mode():
        for rows, tokens in data.batches():
            for point, own in found.items():
                own.update(tokens[point].cpu(), rows)
    return found


def all_channels(data: StudyData) -> dict[str, NeuronGallery]:
    """The detector's gallery in all channels of its points.

    There every neuron, selected or random, has a share, and all are shares of the same distance.
    """
    chosen = {p: select(data.statistics[p], 1, "all") for p in data.points}
    branch = data.branches([chosen])[0]
    return {
        p: NeuronGallery.of_point(branch.points[p], data.normal.patches(p).cpu())
        for p in data.points
    }
