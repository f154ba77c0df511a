"""One category in the explorer: its visual branch neuron by neuron, and its intact maps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.errors import DataError
from lakeviz.explorer.views import Dropped, Place
from lakeviz.lake.attribution import NeuronGallery, split
from lakeviz.lake.gallery import standardiser
from lakeviz.lake.score_maps import join_layers
from lakeviz.lake.visual import fit_selections
from lakeviz.plots import ColourRange, colour_range
from lakeviz.studies.base.captured import StudyData

FIRED = 3.0
"""Standard deviations of the normal tokens from which on a patch counts as fired."""


class Stopped(Exception):  # noqa: N818 - not an error: newer work has come in
    """Raised by a computation that was told to stop."""


@dataclass(frozen=True)
class Intact:
    """Scores with all neurons, from one pass over the test images.

    ``normal_share`` is the share of each selected neuron in all scores of normal test images'
    patches, by hook point; NaN without one.
    """

    visual: Float[np.ndarray, "image row column"]
    fused: Float[np.ndarray, "image row column"]
    normal_share: Mapping[str, Float[np.ndarray, " k"]]


class Fitted:
    """The detector of one category's study data, by single neurons."""

    def __init__(self, data: StudyData):
        self.data = data
        self._fired: dict[str, np.ndarray] = {}
        o = data.options
        normal = {p: data.normal.patches(p).cpu() for p in data.points}
        selections = data.select(o.k, o.selector, o.seed)
        branch = fit_selections(
            [normal], data.statistics, [selections], o.visual, [(o.selector, o.seed)]
        )[0]
        self.galleries = {
            p: NeuronGallery.of_point(branch.points[p], normal[p]) for p in data.points
        }

    @cached_property
    def _names(self) -> dict[str, list[str]]:
        """Names of the images: relative to the root of their data where that is known."""
        fit = list(self.data.provenance.get("fit", {}).get("sample_ids", []))
        captured = self.data.normal.sample_ids
        normal = fit if len(fit) == len(captured) else captured
        return {"normal": normal, "test": self.data.test.sample_ids}

    @cached_property
    def intact(self) -> Intact:
        """Scores of the test images with all neurons."""
        data, labels = self.data, self.data.truth.labels
        maps: list[np.ndarray] = []
        sums = {p: np.zeros(m.selection.k) for p, m in self.galleries.items()}
        totals = dict.fromkeys(self.galleries, 0.0)
        with torch.inference_mode():
            for rows, tokens in data.batches():
                scores = {}
                normal = labels[rows] == 0
                for p, gallery in self.galleries.items():
                    chosen = gallery.chosen(tokens[p].cpu())
                    parts = split(gallery, chosen.flatten(0, 1))
                    shape = chosen.shape[:2]
                    scores[p] = torch.from_numpy(parts.score.astype(np.float32)).reshape(shape)
                    by_image = parts.contribution.reshape(*shape, -1)[normal]
                    sums[p] += by_image.sum((0, 1))
                    totals[p] += float(parts.score.reshape(shape)[normal].sum())
                maps.append(join_layers(scores, data.grids)[0].numpy())
        visual = np.concatenate(maps)
        share = {
            p: sums[p] / totals[p] if totals[p] > 0 else np.full(len(sums[p]), np.nan) for p in sums
        }
        return Intact(visual, data.fuse(visual), share)

    @cached_property
    def image_scores(self) -> Float[np.ndarray, " image"]:
        """Image scores with all neurons."""
        return self.data.options.image_score(self.intact.fused)

    @cached_property
    def colours(self) -> ColourRange:
        """The one colour range of the category's images."""
        return colour_range(self.intact.fused, self.data.truth.labels, self.image_scores)

    def fired(self, point: str) -> Float[np.ndarray, "label channel"]:
        """Share of the patches of normal (row 0) and anomalous (1) images that fired, by channel.

        NaN in the row of a label that no test image has.
        """
        if point not in self._fired:
            mean, deviation = standardiser(self.data.statistics[point])
            labels = self.data.truth.labels
            fired, n = np.zeros((2, len(mean))), np.zeros((2, 1))
            for rows, tokens in self.data.batches():
                far = (tokens[point].cpu() - mean).abs() > FIRED * deviation
                for label in (0, 1):
                    mine = far[labels[rows] == label]
                    fired[label] += mine.sum((0, 1)).numpy()
                    n[label] += mine.shape[0] * mine.shape[1]
            self._fired[point] = np.where(n > 0, fired / np.maximum(n, 1), np.nan)
        return self._fired[point]

    def check_image(self, index: int) -> None:
        """Refuse an image that is not there."""
        if not 0 <= index < len(self.data.test):
            raise DataError(
                f"{self.data.category} has {len(self.data.test)} test images, counted from 0; "
                f"there is no image {index}"
            )

    def without(self, dropped: Dropped) -> dict[str, NeuronGallery]:
        """Galleries without some neurons."""
        return {p: m.without(dropped.get(p, ())) for p, m in self.galleries.items()}

    def chosen(self, index: int) -> dict[str, Float[Tensor, "image patch k"]]:
        """Tokens of one test image in all selected neurons."""
        return {
            p: m.chosen(self.data.test.patches(p, [index]).cpu()) for p, m in self.galleries.items()
        }

    def image_map(
        self, index: int, galleries: Mapping[str, NeuronGallery], chosen: Mapping[str, Tensor]
    ) -> Float[np.ndarray, "row column"]:
        """Fused map of one image under some galleries."""
        with torch.inference_mode():
            scores = {p: m.score(chosen[p]) for p, m in galleries.items()}
            visual = join_layers(scores, self.data.grids)[0].numpy()[0]
        return self.fuse_one(index, visual)

    def fuse_one(
        self, index: int, visual: Float[np.ndarray, "row column"]
    ) -> Float[np.ndarray, "row column"]:
        """Add the text branch to the visual map of one image."""
        w = self.data.text_weight
        if w == 0 or self.data.text is None:
            return visual
        return (1 - w) * visual + w * self.data.text.patch[index]

    def all_maps(
        self, conditions: Sequence[Dropped], go_on: Callable[[], bool] = lambda: True
    ) -> list[Float[np.ndarray, "image row column"]]:
        """Fused maps of all test images under each condition; the tokens are read once."""
        galleries = [self.without(dropped) for dropped in conditions]
        if not galleries:
            return []
        maps: list[list[np.ndarray]] = [[] for _ in conditions]
        with torch.inference_mode():
            for _, tokens in self.data.batches():
                chosen = {p: m.chosen(tokens[p].cpu()) for p, m in self.galleries.items()}
                for condition, made in zip(galleries, maps, strict=True):
                    if not go_on():
                        raise Stopped
                    scores = {p: m.score(chosen[p]) for p, m in condition.items()}
                    made.append(join_layers(scores, self.data.grids)[0].numpy())
        return [self.data.fuse(np.concatenate(made)) for made in maps]

    def place(self, point: str, source: str, image: int, patch: int) -> Place:
        """Name the patch with a number at a point."""
        rows, columns = self.data.grids[point]
        name = self._names[source][image]
        return Place(source, image, name, patch // columns, patch % columns, (rows, columns))

    def normal_place(self, point: str, number: int) -> Place:
        """Place of a normal patch token by its number among all of them."""
        rows, columns = self.data.grids[point]
        return self.place(point, "normal", *divmod(int(number), rows * columns))
