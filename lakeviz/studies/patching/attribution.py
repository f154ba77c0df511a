"""Attribution patching: gradient times difference for every neuron, checked by exact exchanges.

To first order, exchanging neuron ``c`` of the defect patches moves the score by the sum over these
patches of ``gradient * (defect - twin)`` (Nanda, "Attribution patching", 2023). One forward and one
backward pass give it for all neurons of all hook points. Integrated gradients average the gradient
along the way from one side to the other, at one hook point.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lakeviz.activations import select_tokens
from lakeviz.errors import ConfigError
from lakeviz.lake.selection import NeuronSelection
from lakeviz.progress import step
from lakeviz.studies.patching.interchange import Interchange, keep_in
from lakeviz.studies.patching.result import Settings
from lakeviz.studies.patching.words import DEFECT, DEFECTS, DENOISING, EXCHANGES

Rows = Iterator[dict[str, Any]]
_CHECKED_PAIRS = 10


def attribution_rows(
    interchange: Interchange, point: str, settings: Settings
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Attribution of every neuron of every residual stream and MLP before the read-out.

    Rows of every neuron, means over all pairs, and rows of some neurons beside exact exchanges,
    means over the same few pairs.
    """
    if interchange.tower.dtype != torch.float32:
        raise ConfigError(
            "attribution needs gradients in fp32; load the model with precision='fp32', or leave "
            "attribution out"
        )
    points = reached_points(interchange)
    if point not in points and not interchange.reaches(point, DEFECT):
        points.append(point)
    defect, twin = interchange.intact
    full = (defect[DEFECT] - twin[DEFECT]).mean(0)
    few = slice(0, _CHECKED_PAIRS)
    if not points or full.sum() <= 0 or full[few].sum() <= 0:
        return [], []
    random = np.random.default_rng([settings.seed, 1])
    rows, checks = [], []
    for name, gradient in gradient_attribution(interchange, points).items():
        interchange.hold(name)
        found = {"gradient": gradient.numpy()}
        if name == point:
            steps = settings.integrated_steps
            found["integrated"] = integrated_attribution(interchange, name, steps).numpy()
        shares = {kind: own.mean(0) / full.mean() for kind, own in found.items()}
        absent = {"integrated": np.nan} if name != point else {}
        rows += [
            {
                "point": name,
                "channel": channel,
                **{kind: float(own[channel]) for kind, own in shares.items()},
                **absent,
                "n_pairs": len(full),
            }
            for channel in range(gradient.shape[1])
        ]
        for channel in _to_check(shares["gradient"], settings.n_checked, random):
            step(of=EXCHANGES)
            told = {kind: own[few, channel].mean() for kind, own in found.items()}
            exact = _exact(interchange, name, channel, few)
            checks.append(
                {
                    "point": name,
                    "channel": channel,
                    **{k: float(v / full[few].mean()) for k, v in told.items()},
                    **absent,
                    "exact": float(exact / full[few].mean()),
                    "n_pairs": len(full[few]),
                }
            )
    return rows, checks


def agreement_rows(rows: Sequence[Mapping[str, Any]]) -> Rows:
    """Correlation and largest error of attributions against the exact exchanges."""
    for point in dict.fromkeys(row["point"] for row in rows):
        of_point = [row for row in rows if row["point"] == point]
        exact = np.array([row["exact"] for row in of_point])
        for kind in ("gradient", "integrated"):
            found = np.array([row[kind] for row in of_point])
            if not np.isfinite(found).all() or len(found) < 3:
                continue
            varied = np.ptp(found) > 0 and np.ptp(exact) > 0
            yield {
                "point": point,
                "kind": kind,
                "correlation": float(np.corrcoef(found, exact)[0, 1]) if varied else np.nan,
                "largest_error": float(np.abs(found - exact).max()),
                "largest_exact": float(np.abs(exact).max()),
                "n_checked": len(exact),
                "n_pairs": of_point[0]["n_pairs"],
            }


def attributed_points(interchange: Interchange) -> list[str]:
    """Residual stream after each block and hidden neurons of each MLP, where the tower has them.

    Without those whose tokens are others than the patches read, as in stages of a ResNet.
    """
    ends = (".hook_resid_post", ".mlp.hook_post")
    found = [p for p in interchange.tower.points if p.endswith(ends)]
    return [p for p in found if interchange.reaches(p, DEFECT) or not _others(interchange, p)]


def _others(interchange: Interchange, point: str) -> str:
    interchange.hold(point)
    return interchange.other_tokens(point)


def reached_points(interchange: Interchange) -> list[str]:
    """Those whose neurons can change the score of the defect patches."""
    return [p for p in attributed_points(interchange) if not interchange.reaches(p, DEFECT)]


def gradient_attribution(
    interchange: Interchange, points: Sequence[str]
) -> dict[str, Float[Tensor, "pair channel"]]:
    """Gradient times difference, summed over the defect patches, in one pass each way."""
    found: dict[str, list[Tensor]] = {p: [] for p in points}
    pairs = interchange.pairs
    for rows in interchange.batches():
        tokens = _captured(interchange, pairs.twins[rows], points)
        gradients, values = _gradients(interchange, pairs.defects[rows], points, rows)
        is_defect = pairs.is_defect[rows][..., None]
        for p in points:
            apart = (values[p] - tokens[p]) * gradients[p]
            prefix = apart.shape[1] - is_defect.shape[1]
            found[p].append((apart[:, prefix:] * is_defect).sum(1))
    return {p: torch.cat(parts) for p, parts in found.items()}


def integrated_attribution(
    interchange: Interchange, point: str, steps: int
) -> Float[Tensor, "pair channel"]:
    """Integrated gradients at one hook point, from the defect image to the exchange.

    All units of the defect patches move together along the way; the midpoint rule in ``steps``.
    The attributions of all channels add up to what the exchange of all of them moves, but for the
    error of the rule.
    """
    defect, twin = interchange.sides(point)
    chosen = interchange.group(DEFECTS, point)[..., None]
    apart = torch.where(chosen, defect - twin, 0.0)
    parts = []
    for rows in interchange.batches():
        total = torch.zeros_like(apart[rows])
        for number in range(steps):
            share = (number + 0.5) / steps
            tokens = (defect[rows] - share * apart[rows]).clone().requires_grad_()
            with torch.enable_grad():
                patches, _ = interchange.read_from(point, tokens, DENOISING, rows)
                is_defect = interchange.pairs.is_defect[rows]
                score = interchange.readouts.defect_score(patches, is_defect).sum()
            (gradient,) = torch.autograd.grad(score, tokens)
            total += gradient / steps
        parts.append((total * apart[rows]).sum(1))
    return torch.cat(parts)


def _captured(interchange: Interchange, images: Tensor, points: Sequence[str]) -> dict[str, Tensor]:
    tower = interchange.tower
    with torch.no_grad():
        _, cache = tower.run_with_cache(images, names_filter=list(points))
    return {p: select_tokens(tower, p, cache[p], "all") for p in points}


def _gradients(
    interchange: Interchange, images: Tensor, points: Sequence[str], rows: slice
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Gradients of the summed score of the defect patches at hook points, and the values there."""
    tower, readouts = interchange.tower, interchange.readouts
    values: dict[str, Tensor] = {}
    leaves: dict[str, Tensor] = {}
    read: dict[str, Tensor] = {}

    def follow(tensor: Tensor, hook: Any) -> Tensor:
        values[hook.name] = tensor.detach()
        # A sum with a leaf of zeros: its gradient is that of the value, all points at once.
        leaves[hook.name] = torch.zeros_like(tensor).requires_grad_()
        read[hook.name] = tensor + leaves[hook.name]
        return read[hook.name]

    hooks = [(name, follow) for name in points]
    hooks += [(name, keep_in(read)) for name in readouts.points if name not in points]
    with torch.enable_grad():
        tower.run_with_hooks(images, fwd_hooks=hooks, stop_at="auto")
        patches = {p: select_tokens(tower, p, read[p]) for p in readouts.points}
        score = readouts.defect_score(patches, interchange.pairs.is_defect[rows]).sum()
        found = torch.autograd.grad(score, [leaves[p] for p in points], allow_unused=True)
    gradients = {
        p: torch.zeros_like(values[p]) if g is None else g
        for p, g in zip(points, found, strict=True)
    }
    arrange = {p: select_tokens(tower, p, gradients[p], "all") for p in points}
    return arrange, {p: select_tokens(tower, p, values[p], "all") for p in points}


def _to_check(values: np.ndarray, n: int, random: np.random.Generator) -> list[int]:
    """Half the strongest channels, half others at random."""
    order = np.argsort(-np.abs(values), kind="stable")
    strongest, rest = order[: n // 2], order[n // 2 :]
    return [*strongest.tolist(), *random.permutation(rest)[: n - n // 2].tolist()]


def _exact(interchange: Interchange, point: str, channel: int, pairs: slice) -> float:
    """Mean over some pairs of what exchanging one neuron of the defect patches moves."""
    n_pairs, _, n = interchange.sides(point)[0].shape
    unit = NeuronSelection(point, np.array([channel]), np.zeros(1), n, "one")
    tokens = interchange.exchanged(point, DENOISING, DEFECTS, unit)[pairs]
    rows = range(n_pairs)[pairs]
    found = interchange.run(point, tokens, rows=rows, defects_alone=True)[DEFECT]
    return float((interchange.intact[0][DEFECT][:, pairs] - found).mean())
