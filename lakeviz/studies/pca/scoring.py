"""Score selections of one size, and take down what each costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import torch

from lakeviz.lake import Selection, VisualBranch
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.lake.score_maps import join_layers
from lakeviz.metrics.measurement import Measurement
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.pca.subspaces import retained_variance


@dataclass(frozen=True)
class Scored:
    """A selector at one size: its members (one, or one per draw) as they were measured.

    Attributes
    ----------
    members : list of Measurement
    retained : list of float
        Retained variance of each member, mean over hook points.
    gallery_bytes : int
        Of one member.
    seconds : float
        Restriction and search of all test images, mean over members.
    """

    members: list[Measurement]
    retained: list[float]
    gallery_bytes: int
    seconds: float


def score(
    data: StudyData,
    groups: Mapping[str, Sequence[Mapping[str, Selection]]],
    evaluator: PairedEvaluator,
) -> dict[str, Scored]:
    """Score the members of each group; the test tokens are read once for all."""
    flat = [selections for members in groups.values() for selections in members]
    branches = data.branches(flat)
    maps, seconds = _timed_maps(data, branches)
    found, start = {}, 0
    for name, members in groups.items():
        own = slice(start, start + len(members))
        found[name] = Scored(
            [evaluator.measure(one) for one in maps[own]],
            [_retained(data, selections) for selections in members],
            branches[start].gallery_bytes,
            float(seconds[own].mean()),
        )
        start += len(members)
    return found


def _retained(data: StudyData, selections: Mapping[str, Selection]) -> float:
    shares = [retained_variance(s, data.statistics[p].covariance) for p, s in selections.items()]
    return float(np.mean(shares))


def _timed_maps(
    data: StudyData, branches: Sequence[VisualBranch]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Patch maps of each branch, and the seconds it took without reading the tokens."""
    parts: list[list[np.ndarray]] = [[] for _ in branches]
    seconds = np.zeros(len(branches))
    with torch.inference_mode():
        for _, tokens in data.batches():
            for number, branch in enumerate(branches):
                start = perf_counter()
                scores = branch.score(tokens)
                parts[number].append(join_layers(scores, data.grids)[0].cpu().numpy())
                seconds[number] += perf_counter() - start
    return [np.concatenate(maps) for maps in parts], seconds
