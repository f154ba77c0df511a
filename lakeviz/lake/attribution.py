"""Attribution of a distance to neurons, and distances without some of the neurons.

A score is a mean of distances to the nearest normal tokens, and both distances split into channels
without a remainder:

* Euclidean: ``d = sum_c (q_c - g_c)^2 / d``, as ``d^2`` is the sum of the squares;
* cosine: with ``a`` and ``b`` the tokens at unit length, ``1 - cos = sum_c (a_c - b_c)^2 / 2``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.errors import SelectionError
from lakeviz.lake import Gallery, NeuronSelection, normalise
from lakeviz.lake.visual import Restriction, VisualPoint


@dataclass(frozen=True)
class NeuronGallery:
    """Normal tokens of one hook point in some or all of the selected neurons.

    Make one with :meth:`of_point`; :meth:`without` leaves neurons out. ``normal`` holds the tokens
    in all selected neurons, before a normalisation "after" the selection; ``sources`` the number
    of each among all normal patch tokens, image by image; ``kept`` the positions in the selection
    that are compared. Distance, neighbours and block size come from ``like``.
    """

    restriction: Restriction
    selection: NeuronSelection
    normal: Float[Tensor, "token k"]
    sources: Int[np.ndarray, " token"]
    kept: Int[np.ndarray, " kept"]
    like: Gallery

    @classmethod
    def of_point(
        cls, point: VisualPoint, normal: Float[Tensor, "image patch channel"]
    ) -> NeuronGallery:
        """Take a fitted point and the normal tokens it was fitted on."""
        selection = point.selection
        if point.reference == "prototype":
            raise SelectionError(
                f"{selection.point}: a prototype is the mean of the normal patches, so there is no "
                "nearest one to compare neurons with; use reference='gallery'"
            )
        if not isinstance(selection, NeuronSelection):
            raise SelectionError(
                f"{selection.point}: {selection.selector} selects a subspace, and shares are shown "
                "of neurons; choose a selector of neurons, such as variance"
            )
        made = cls(
            point.restriction,
            selection,
            normal[:0, 0, : selection.k],
            np.empty(0, int),
            np.arange(selection.k),
            point.gallery,
        )
        chosen = made.chosen(normal).flatten(0, 1)
        sources = np.arange(len(chosen))
        if len(point.gallery) < len(chosen):  # a coreset: find out which tokens it kept
            finder = Gallery(made.compared(chosen), distance="euclidean")
            sources = finder.search(point.gallery.tokens).indices[:, 0].numpy()
            chosen = chosen[torch.from_numpy(sources)]
        return replace(made, normal=chosen, sources=sources)

    def without(self, channels: Collection[int]) -> NeuronGallery:
        """Leave neurons out of gallery and query; the tokens of the gallery stay the same."""
        point = self.selection.point
        unknown = sorted(set(channels) - set(self.selection.channels.tolist()))
        if unknown:
            raise SelectionError(f"{point}: channel {unknown[0]} is not among the selected neurons")
        gone = np.isin(self.selection.channels, list(channels))
        kept = self.kept[~gone[self.kept]]
        if not len(kept):
            raise SelectionError(
                f"{point}: all {self.selection.k} neurons are off, so nothing is left to compare; "
                "leave at least one on"
            )
        return replace(self, kept=kept)

    @property
    def channels(self) -> Int[np.ndarray, " kept"]:
        """Channels that are compared."""
        return self.selection.channels[self.kept]

    @cached_property
    def reduced(self) -> Gallery:
        """The gallery in the kept neurons."""
        return self.like.of(self.compared(self.normal))

    def chosen(self, tokens: Float[Tensor, "*token channel"]) -> Float[Tensor, "*token k"]:
        """Tokens in all selected neurons, normalised if that comes before the selection."""
        return self.restriction.selected(tokens)

    def compared(self, chosen: Float[Tensor, "*token k"]) -> Float[Tensor, "*token kept"]:
        """Tokens as they are compared: in the kept neurons, normalised if that comes after."""
        r, index = self.restriction, torch.from_numpy(self.kept)
        tokens = chosen.index_select(-1, index)
        if r.normalisation.stage != "before":
            standard = r.standard and (r.standard[0][index], r.standard[1][index])
            tokens = normalise(tokens, r.normalisation.kind, standard)
        return tokens / r.typical_distance

    def score(self, chosen: Float[Tensor, "*token k"]) -> Float[Tensor, "*token"]:
        """Distance of tokens (in all selected neurons) to their nearest normal ones."""
        return self.reduced.score(self.compared(chosen))


@dataclass(frozen=True)
class Parts:
    """Distances of queries to their nearest normal tokens, split into neurons.

    ``score`` is the mean distance to the neighbours, whose numbers among all normal patch tokens
    are ``neighbours``, nearest first. Each ``contribution`` is the part of a neuron; they sum to
    the score, less ``unattributed``: not 0 only where a token is zero in all neurons, whose cosine
    distance is 1 by convention. ``query`` and ``nearest`` are the values as they are compared (at
    unit length for the cosine distance).
    """

    score: Float[np.ndarray, " query"]
    contribution: Float[np.ndarray, "query kept"]
    unattributed: Float[np.ndarray, " query"]
    neighbours: Int[np.ndarray, "query neighbour"]
    distances: Float[np.ndarray, "query neighbour"]
    query: Float[np.ndarray, "query kept"]
    nearest: Float[np.ndarray, "query kept"]


def split(gallery: NeuronGallery, chosen: Float[Tensor, "query k"]) -> Parts:
    """Split the scores of queries (in all selected neurons) into the neurons' parts."""
    queries = gallery.compared(chosen)
    found = gallery.reduced.search(queries)
    cosine = gallery.like.distance == "cosine"
    prepare = _unit if cosine else Tensor.double
    query, normal = prepare(queries), prepare(gallery.reduced.tokens)
    contribution = np.zeros(query.shape)
    for column in range(found.indices.shape[1]):
        square = (query - normal[found.indices[:, column]]).square()
        if cosine:
            part = square / 2 / gallery.like.typical_distance
        else:
            distance = square.sum(1, keepdim=True).sqrt()
            part = square / distance.masked_fill(distance == 0, 1.0)
        contribution += part.numpy() / found.indices.shape[1]
    score = found.distances.double().mean(1).numpy()
    rest = score - contribution.sum(1)
    # Rounding of the float32 search is not a remainder.
    rest[np.abs(rest) < 1e-4 * np.maximum(score, 1e-3)] = 0.0
    return Parts(
        score=score,
        contribution=contribution,
        unattributed=rest,
        neighbours=gallery.sources[found.indices.numpy()],
        distances=found.distances.numpy(),
        query=query.numpy(),
        nearest=normal[found.indices[:, 0]].numpy(),
    )


def _unit(tokens: Float[Tensor, "token k"]) -> Float[Tensor, "token k"]:
    length = torch.linalg.vector_norm(tokens.double(), dim=1, keepdim=True)
    return tokens.double() / length.masked_fill(length == 0, 1.0)
