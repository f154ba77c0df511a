"""What an intervention is read by: the detector's scores and the text margin of some images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lakeviz.lake import TextBranch, VisualBranch
from lakeviz.lake.options import ImageScoreRule
from lakeviz.lake.score_maps import join_layers
from lakeviz.studies.patching.words import DEFECT, IMAGE, LOGIT, TEXT

Values = dict[str, Float[np.ndarray, "draw image"]]
"""Read-outs of some images, with the detector of each draw."""


@dataclass(frozen=True)
class Readouts:
    """Reads the tokens that an intervention leaves behind, by the detector fitted on each draw.

    ``logit`` is a row of the class head.
    """

    branches: Sequence[VisualBranch]
    grids: Mapping[str, tuple[int, int]]
    rule: ImageScoreRule
    text: TextBranch | None = None
    logit: Float[Tensor, " joint"] | None = None

    @property
    def points(self) -> tuple[str, ...]:
        """Hook points whose patch tokens are read."""
        return tuple(dict.fromkeys(p for branch in self.branches for p in branch.points))

    @property
    def names(self) -> tuple[str, ...]:
        """Read-outs there are."""
        further = {TEXT: self.text, LOGIT: self.logit}
        return (IMAGE, DEFECT, *(name for name, there in further.items() if there is not None))

    @property
    def of_output(self) -> bool:
        """Whether the tower has to run to its end."""
        return self.text is not None or self.logit is not None

    def read(
        self,
        patches: Mapping[str, Float[Tensor, "image patch channel"]],
        embedding: Float[Tensor, "image joint"] | None,
        is_defect: Bool[Tensor, "image patch"],
        draws: Sequence[int] | None = None,
    ) -> Values:
        """Read scores from patch tokens, and the margin from the image embedding.

        ``draws``: whose detectors are asked; the others' scores are NaN.
        """
        maps = {}
        for draw in range(len(self.branches)) if draws is None else draws:
            branch = self.branches[draw]
            scored = branch.score({p: patches[p] for p in branch.points})
            maps[draw] = join_layers(scored, self.grids)[0].cpu().numpy()
        unread = np.full_like(next(iter(maps.values())), np.nan)
        found = np.stack([maps.get(draw, unread) for draw in range(len(self.branches))])
        defect = is_defect.numpy().reshape(1, *found.shape[1:])
        count = defect.sum((2, 3))
        values = {
            IMAGE: np.stack([self.rule(one) for one in found]).astype(float),
            DEFECT: (found * defect).sum((2, 3)) / count,
        }
        if self.text is not None and embedding is not None:
            margin = self.margin(embedding).cpu().numpy().astype(float)
            values[TEXT] = np.repeat(margin[None], len(self.branches), axis=0)
        if self.logit is not None and embedding is not None:
            logits = (embedding.float() @ self.logit.to(embedding.device)).cpu().numpy()
            values[LOGIT] = np.repeat(logits[None].astype(float), len(self.branches), axis=0)
        return values

    def read_defects(
        self,
        patches: Mapping[str, Float[Tensor, "image patch channel"]],
        is_defect: Bool[Tensor, "image patch"],
        draws: Sequence[int] | None = None,
    ) -> Values:
        """Read the score of the defect patches alone, which no other patch takes part in."""
        if len({self.grids[p] for p in self.points}) > 1:
            found = self.read(patches, None, is_defect, draws)
            return {DEFECT: found[DEFECT]}
        count = is_defect.sum(1)
        owner = torch.repeat_interleave(torch.arange(len(count)), count)
        shown = {p: patches[p][is_defect][None] for p in self.points}
        found = np.full((len(self.branches), len(count)), np.nan)
        for draw in range(len(self.branches)) if draws is None else draws:
            branch = self.branches[draw]
            scored = branch.score({p: shown[p] for p in branch.points})
            mean = torch.stack(list(scored.values())).mean(0)[0].double().cpu()
            total = torch.zeros(len(count), dtype=torch.float64).index_add_(0, owner, mean)
            found[draw] = (total / count).numpy()
        return {DEFECT: found}

    def margin(self, embedding: Float[Tensor, "image joint"]) -> Float[Tensor, " image"]:
        """Log-odds of the anomalous prompts."""
        assert self.text is not None
        unit = torch.nn.functional.normalize(embedding.float(), dim=-1)
        vectors = self.text.vectors.to(unit.device)
        return self.text.logit_scale * unit @ (vectors[1] - vectors[0])

    def defect_score(
        self,
        patches: Mapping[str, Float[Tensor, "image patch channel"]],
        is_defect: Bool[Tensor, "image patch"],
    ) -> Float[Tensor, " image"]:
        """Mean over draws of the score of the defect patches, with its gradient.

        Equal to :meth:`read`. Which normal token is nearest is held fixed for the gradient, which
        is exact wherever it is unique.
        """
        total = torch.zeros(len(is_defect))
        for branch in self.branches:
            layers = []
            for point, own in branch.points.items():
                chosen = own.restriction(patches[point])
                flat, gallery = chosen.reshape(-1, chosen.shape[-1]), own.gallery
                nearest = gallery.search(flat).indices
                apart = gallery.pair_distances(gallery.prepare(flat), nearest).mean(1)
                layers.append(apart.reshape(chosen.shape[:-1]))
            mean = torch.stack(layers).mean(0)
            weights = is_defect.to(mean.dtype)
            total = total + (mean * weights).sum(1) / weights.sum(1)
        return total / len(self.branches)
