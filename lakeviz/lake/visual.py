"""The visual branch: selections and galleries per hook point, and their structural score."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations.statistics import ChannelStatistics
from lakeviz.data.streams import stream_of
from lakeviz.errors import ConfigError
from lakeviz.journal import fingerprint
from lakeviz.lake.gallery import Gallery, greedy_coreset, normalise, standardiser
from lakeviz.lake.joint_selection import select_points
from lakeviz.lake.options import LakeOptions, Normalisation, VisualOptions
from lakeviz.lake.provenance import as_plain
from lakeviz.lake.selection import Selection, SubspaceSelection

_RUNS, _PER_RUN = 8, 128
_ROUNDING = 1e-9  # cosine distances of equal tokens stay below
_log = logging.getLogger(__name__)

Tokens = Mapping[str, Float[Tensor, "image patch channel"]]


@dataclass(frozen=True)
class Restriction:
    """From all channels of a token to the normalised, selected ones.

    Parameters
    ----------
    selection : NeuronSelection or SubspaceSelection
    normalisation : Normalisation
    standard : (mean, deviation), optional
        Of the normal tokens, for z-scores: over all channels if the normalisation comes before the
        selection, over the selected ones if after.
    centre : Tensor [channel], optional
        Mean of the normal tokens, subtracted first of all.
    typical_distance : float
        Of held-out normal tokens: what is compared is divided by it. (A cosine does not change by
        that; the distances of its gallery are divided instead, see :class:`Gallery`.)
    """

    selection: Selection
    normalisation: Normalisation
    standard: tuple[Tensor, Tensor] | None = None
    centre: Float[Tensor, " channel"] | None = None
    typical_distance: float = 1.0

    def __call__(self, tokens: Float[Tensor, "*token channel"]) -> Float[Tensor, "*token k"]:
        """Centre, normalise and restrict tokens."""
        chosen = self.selected(tokens)
        if self.normalisation.stage != "before":
            chosen = normalise(chosen, self.normalisation.kind, self.standard)
        return chosen / self.typical_distance

    def selected(self, tokens: Float[Tensor, "*token channel"]) -> Float[Tensor, "*token k"]:
        """Restrict tokens, without a normalisation that comes after the selection."""
        tokens = tokens.float()
        if self.centre is not None:
            tokens = tokens - self.centre.to(tokens.device)
        if self.normalisation.stage == "before":
            tokens = normalise(tokens, self.normalisation.kind, self.standard)
        return self.selection.project(tokens)


@dataclass(frozen=True)
class VisualPoint:
    """One hook point of a fitted visual branch."""

    restriction: Restriction
    gallery: Gallery
    reference: str = "gallery"

    @property
    def selection(self) -> Selection:
        """The neurons (or subspace) in use."""
        return self.restriction.selection

    @property
    def identity(self) -> str:
        """SHA-256 of all that its scores depend on, but for the tokens that are scored."""
        restriction, gallery, chosen = self.restriction, self.gallery, self.selection
        own = [as_plain(restriction.normalisation), gallery.distance, as_plain(gallery.neighbours)]
        if isinstance(chosen, SubspaceSelection):
            arrays = [chosen.basis]
        else:
            arrays = [chosen.channels, *([] if chosen.scale is None else [chosen.scale])]
        tensors = [gallery.tokens, *(restriction.standard or ())]
        tensors += [] if restriction.centre is None else [restriction.centre]
        typical = (restriction.typical_distance, gallery.typical_distance)
        own += [one for one in typical if one != 1]
        return fingerprint(own, self.reference, *arrays, *(t.cpu().numpy() for t in tensors))

    def score(self, tokens: Float[Tensor, "image patch channel"]) -> Float[Tensor, "image patch"]:
        """Distance of each patch to its nearest normal patches."""
        return self.gallery.score(self.restriction(tokens))


@dataclass
class VisualBranch:
    """Selections and galleries at one or more hook points."""

    points: dict[str, VisualPoint]
    selector: str
    seed: int

    def score(self, tokens: Tokens) -> dict[str, Float[Tensor, "image patch"]]:
        """Score the tokens of each point."""
        return {p: point.score(tokens[p]) for p, point in self.points.items()}

    @property
    def selections(self) -> dict[str, Selection]:
        """The selection at each hook point."""
        return {p: point.selection for p, point in self.points.items()}

    @property
    def gallery_bytes(self) -> int:
        """Memory of all galleries."""
        return sum(4 * point.gallery.tokens.numel() for point in self.points.values())


def _standard(
    selection: Selection, normalisation: Normalisation, statistics: ChannelStatistics
) -> tuple[Tensor, Tensor] | None:
    """Mean and deviation for z-scores, in the frame the stage asks for."""
    if normalisation.kind != "zscore":
        return None
    mean, deviation = standardiser(statistics)
    if normalisation.stage == "before":
        return mean, deviation
    if isinstance(selection, SubspaceSelection):
        scale = torch.from_numpy(selection.scores).clamp(min=0).sqrt().float()
        return selection.project(mean), torch.where(scale > 0, scale, torch.ones_like(scale))
    return selection.project(mean), selection.project(deviation)


@dataclass(frozen=True)
class BranchSpec:
    """Which selection a visual branch uses: LAKE's own, or a control of the same size."""

    selector: str = "variance"
    k: int = 100
    seed: int = 0
    scope: str = "layer"


def branch_specs(
    options: LakeOptions, controls: Iterable[tuple[str, int]]
) -> dict[str, BranchSpec]:
    """LAKE's own selection, and each control of (selector, seed) at the same size."""
    own = BranchSpec(options.selector, options.k, options.seed, options.selection_scope)
    specs = {"lake": own}
    for control in controls:
        if isinstance(control, str) or len(control) != 2:
            raise ConfigError(f"a control is {control!r}; give pairs such as ('random', 0)")
        name, seed = control
        specs[f"{name}#{seed}"] = replace(own, selector=name, seed=seed)
    return specs


def fit_branches(
    normal: Iterable[Tokens],
    statistics: Mapping[str, ChannelStatistics],
    specs: Sequence[BranchSpec],
    options: VisualOptions | None = None,
) -> list[VisualBranch]:
    """Select at each point and store the normal patch tokens, for several branches in one pass.

    Parameters
    ----------
    normal : iterable of mappings of hook point to Tensor [image, patch, channel]
        Normal patch tokens, batch by batch; only their restrictions are kept.
    statistics : mapping of hook point to ChannelStatistics
        Of the same tokens.
    specs : sequence of BranchSpec
    options : VisualOptions, optional
        Shared by all branches.

    Returns
    -------
    list of VisualBranch
        In the order of ``specs``.
    """
    chosen = [select_branch(statistics, spec) for spec in specs]
    names = [(spec.selector, spec.seed) for spec in specs]
    return fit_selections(normal, statistics, chosen, options, names)


def fit_selections(
    normal: Iterable[Tokens],
    statistics: Mapping[str, ChannelStatistics],
    selections: Sequence[Mapping[str, Selection]],
    options: VisualOptions | None = None,
    names: Sequence[tuple[str, int]] | None = None,
) -> list[VisualBranch]:
    """Store the normal patch tokens in channels (or subspaces) that are chosen already.

    Parameters
    ----------
    normal, statistics, options
        As for :func:`fit_branches`.
    selections : sequence of mappings of hook point to Selection
        One per branch.
    names : sequence of (selector, seed), optional
        What the branches are called, and the seed of their coresets; by default what the
        selections say, and 0.

    Returns
    -------
    list of VisualBranch
        In the order of ``selections``.
    """
    options = options or VisualOptions()
    if names is None:
        names = [(next(iter(chosen.values())).selector, 0) for chosen in selections]
    restrictions = [
        {p: _restriction(s, options, statistics[p]) for p, s in chosen.items()}
        for chosen in selections
    ]
    features: list[dict[str, list[Tensor]]] = [{p: [] for p in r} for r in restrictions]
    for tokens in normal:
        for restriction, kept in zip(restrictions, features, strict=True):
            for point, parts in kept.items():
                parts.append(restriction[point](tokens[point]).flatten(0, 1))
    branches = []
    for (selector, seed), restriction, kept in zip(names, restrictions, features, strict=True):
        mixed = len({stream_of(p) for p in kept}) > 1
        points = {}
        for p, parts in kept.items():
            tokens, own = torch.cat(parts), restriction[p]
            typical = normal_distance(tokens, p, options.distance) if mixed else 1.0
            if options.distance == "euclidean":
                own, tokens = replace(own, typical_distance=typical), tokens / typical
                typical = 1.0
            points[p] = VisualPoint(
                own, _gallery(tokens, options, seed, typical), options.reference
            )
        branches.append(VisualBranch(points, selector, seed))
    return branches


def normal_distance(
    tokens: Float[Tensor, "token k"], point: str, distance: str = "euclidean"
) -> float:
    """Mean distance of held-out normal tokens to the others, which makes streams comparable.

    Each of eight runs of consecutive tokens is held out in turn, so that a patch is not compared
    with its own image (nor, for most frames, with those right beside it); of each at most 128
    tokens are measured. It is infinite where all normal tokens are alike: nothing can be told there
    what is far, and the hook point adds nothing.
    """
    found = []
    for held in torch.arange(len(tokens)).chunk(min(_RUNS, len(tokens))):
        others = torch.cat([tokens[: held[0]], tokens[held[-1] + 1 :]])
        if len(others):
            chosen = held[:: max(1, -(-len(held) // _PER_RUN))]
            found.append(Gallery(others, distance=distance).score(tokens[chosen]))
    typical = float(torch.cat(found).double().mean()) if found else 0.0
    if typical > (_ROUNDING if distance == "cosine" else 0):
        return typical
    _log.warning("%s: all normal patches are alike; it adds nothing to the score", point)
    return float("inf")


def select_branch(
    statistics: Mapping[str, ChannelStatistics], spec: BranchSpec
) -> dict[str, Selection]:
    """Select at each hook point."""
    return select_points(statistics, spec.k, spec.selector, seed=spec.seed, scope=spec.scope)


def _restriction(
    selection: Selection, options: VisualOptions, statistics: ChannelStatistics
) -> Restriction:
    normalisation, centre = options.normalisation, None
    if options.center and normalisation.kind != "zscore":  # which subtracts the same mean itself
        centre = torch.from_numpy(statistics.mean).float()
    standard = _standard(selection, normalisation, statistics)
    return Restriction(selection, normalisation, standard, centre)


def _gallery(
    features: Float[Tensor, "token k"], options: VisualOptions, seed: int, typical: float
) -> Gallery:
    if options.reference == "prototype":
        features = features.double().mean(0, keepdim=True).float()
    if options.coreset < 1:
        size = min(len(features), max(options.neighbours, round(options.coreset * len(features))))
        # Cover the tokens in the distance they will be compared by.
        covered = normalise(features, "l2") if options.distance == "cosine" else features
        features = features[greedy_coreset(covered, size, seed=seed).to(features.device)]
    return Gallery(
        features,
        distance=options.distance,
        neighbours=options.neighbours,
        memory_mb=options.memory_mb,
        typical_distance=typical,
    )
