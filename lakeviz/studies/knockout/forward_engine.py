"""Forward knock-outs: an activation is replaced at its hook point, and the rest of the tower runs.

Only the blocks after the point run, from stored activations, and several conditions share a batch.
An activation is replaced by zero, a mean, or other normal values.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.activations import ChannelStatistics, select_tokens
from lakeviz.activations.token_subsets import CapturedTokens
from lakeviz.activations.tokens import as_activation
from lakeviz.errors import ConfigError, HookError
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.knockout.ablation import Condition, Knocked
from lakeviz.studies.knockout.rescoring import (
    OUTPUT,
    NetworkEngine,
    Scores,
    Snapshot,
    differing,
    join,
    joined,
    split,
    stored_at,
)


def token_slice(tokens: str, n_tokens: int, n_prefix: int) -> slice:
    """Rows of ``"all"`` tokens (registers too), of ``"patch"`` tokens, or of the class token."""
    if tokens == "cls":
        return slice(0, 1)
    return slice(n_prefix if tokens == "patch" else 0, n_tokens)


@dataclass(frozen=True)
class Replacement:
    """Values for every token of an image, from the tokens of the normal images at one hook point.

    ``"zero"``; ``"mean"`` over the normal images, of all patch tokens for a patch token, and of the
    class token (or the same register) for that one; ``"resample"``: for every token another normal
    token of the same kind is drawn, which gives the values of all channels. A draw depends on the
    seed and the names of the images alone, so that conditions are compared on the same draws.
    """

    reference: str
    normal: Float[Tensor, "image token channel"]
    n_prefix: int
    normal_ids: Sequence[str]
    seed: int = 0

    def values(
        self, image_ids: Sequence[str], channels: Sequence[int], rows: slice
    ) -> Float[Tensor, "#image token channels"]:
        """Values of some channels for the tokens ``rows`` of some images."""
        index = torch.as_tensor(list(channels), dtype=torch.long)
        pool = self.normal[:, :, index]
        if self.reference == "zero":
            return pool.new_zeros((1, *pool.shape[1:]))[:, rows]
        if self.reference == "mean":
            return self._mean(pool)[:, rows]
        if rows.start < self.n_prefix and len(self.normal) < 2:
            raise ConfigError(
                "there is one normal image, so its class token has no other to resample from; fit "
                'on 2 images or more, or use tokens="patch" or reference="mean"'
            )
        drawn = np.stack([self._draw(name) for name in image_ids])[:, rows]
        return pool.flatten(0, 1)[torch.from_numpy(drawn)]

    def _mean(self, pool: Float[Tensor, "image token channels"]) -> Tensor:
        own = pool.double().mean(0, keepdim=True)
        patches = own[:, self.n_prefix :]
        mean = patches.mean(1, keepdim=True).expand_as(patches)
        return torch.cat((own[:, : self.n_prefix], mean), dim=1).to(pool.dtype)

    def _draw(self, name: str) -> Int[np.ndarray, " token"]:
        """Draw, for every token of an image, the row of ``normal`` it gets (images flattened)."""
        n_images, n_tokens = self.normal.shape[:2]
        n_patches = n_tokens - self.n_prefix
        digest = hashlib.sha256(name.encode()).digest()[:16]
        random = np.random.default_rng([self.seed, int.from_bytes(digest, "little")])
        # Ranks by name, so that a draw means the same image in whatever order they come.
        ordered = np.argsort(np.asarray(self.normal_ids, dtype=object), kind="stable")
        own = next((r for r, i in enumerate(ordered) if self.normal_ids[i] == name), None)
        image = _other(random, n_images, np.full(self.n_prefix, own), own is not None)
        of_prefix = ordered[image] * n_tokens + np.arange(self.n_prefix)
        place = np.arange(n_patches) + (0 if own is None else own * n_patches)
        patch = _other(random, n_images * n_patches, place, own is not None)
        rank, token = np.divmod(patch, n_patches)
        of_patches = ordered[rank] * n_tokens + self.n_prefix + token
        return np.concatenate([of_prefix, of_patches]).astype(np.int64)


def _other(
    random: np.random.Generator, n: int, own: np.ndarray, has_own: bool
) -> Int[np.ndarray, " token"]:
    """Draw from ``n``, except one's own place where it is among them and there is another."""
    if not has_own or n < 2:
        return random.integers(n, size=len(own))
    drawn = random.integers(n - 1, size=len(own))
    return drawn + (drawn >= own.astype(np.int64))


_EDITS = {"all": "edits of all tokens", "patch": "patch-token edits", "cls": "class-token edits"}
_READS = {
    "visual": "the patch tokens that the visual branch reads",
    "embedding": "the image embedding",
    "text": "the patch tokens that the text branch reads",
    "text_image": "the image embedding",
    "lake": "the patch tokens that the two branches read",
}


class ForwardEngine(NetworkEngine):
    """Forward knock-outs at one hook point of one category.

    Normal and test images alike run without the neuron, and the gallery is filled again from the
    normal ones, in channels that were chosen on the intact network (see
    :mod:`lakeviz.studies.knockout.rescoring`).

    Parameters
    ----------
    data : StudyData
        With its model. Activations that it does not hold at ``point`` are captured once.
    base, branches
        As :class:`.NetworkEngine`. With ``branches=("visual",)`` the tower stops at the deepest
        hook point of the detector.
    tokens, reference : str
        Of :class:`.Ablation`; those of the conditions have to agree.
    seed : int
        Of resampling.
    point : str, optional
        A ``hook_resid_pre`` or ``hook_resid_post``; the first of the detector's points by default.
    batch : int
        Images, times conditions, per forward pass.

    Raises
    ------
    ConfigError
        If there is no model, a choice does not exist, the class token is asked of a tower without
        one, or the visual branch reads no point at or after ``point``.
    UnknownHookPointError, HookError
        If ``point`` does not exist, or a tower does not resume from it.
    """

    kind = "forward"

    def __init__(
        self,
        data: StudyData,
        *,
        base: str = "all",
        tokens: str = "all",
        reference: str = "zero",
        branches: Sequence[str] | None = None,
        seed: int = 0,
        point: str | None = None,
        batch: int = 32,
    ) -> None:
        super().__init__(data, base, branches)
        self.point = data.points[0] if point is None else point
        self.tokens, self.reference, self.seed, self.batch = tokens, reference, seed, batch
        self.ablation(self.point, ())  # refuses unknown tokens and references
        if tokens == "cls" and not self.tower.adapter.has_class_token:
            raise ConfigError(
                f"{self.model.name} has no class token to edit; use tokens='patch' or 'all'"
            )
        if batch < 1:
            raise ConfigError(f"batch must be 1 image or more, not {batch}")
        self._check_point()

    def _check_point(self) -> None:
        self.tower.resolve(self.point)
        if not self.point.endswith(("hook_resid_pre", "hook_resid_post")):
            raise HookError(
                "a forward knock-out resumes from hook_resid_pre or hook_resid_post of a block, "
                f"not from {self.point}; name another point, or use the weights kind"
            )
        if self._reads("visual") and not any(self._is_at_or_after(p) for p in self.data.points):
            raise ConfigError(
                f"the detector reads {', '.join(self.data.points)}, all before {self.point}: no "
                "knock-out there can change what it reads"
            )

    @property
    def choices(self) -> dict[str, str]:
        """``tokens`` and ``reference`` of its ablations."""
        return {"tokens": self.tokens, "reference": self.reference}

    @property
    def points(self) -> tuple[str, ...]:
        """The hook point at which neurons are knocked out."""
        return (self.point,)

    def statistics(self, point: str) -> ChannelStatistics:
        """Statistics of all channels over the normal patch tokens, by which neurons are ranked."""
        return ChannelStatistics(point).update(self._stored[0].patches(point))

    def check(self, condition: Condition) -> Condition:
        """Refuse what this engine cannot carry out, other tokens and references among it."""
        edits = super().check(condition)
        for edit in edits:
            if (edit.tokens, edit.reference) != (self.tokens, self.reference):
                raise ConfigError(
                    f"this engine replaces {self.tokens} tokens by {self.reference}, the condition "
                    f"asks for {edit.tokens} tokens by {edit.reference}; make an engine for each"
                )
        return edits

    def run(self, conditions: Sequence[Condition]) -> list[Knocked]:
        """Score the test images under each condition; see :meth:`.Engine.run`."""
        edits = [self.check(condition) for condition in conditions]
        found = [self._intact] * len(edits)
        changing = [i for i, edit in enumerate(edits) if edit and self._reached]
        size = max(1, self.batch // len(self.data.normal))
        for start in range(0, len(changing), size):
            group = changing[start : start + size]
            scores = self._score([edits[i] for i in group], self._reached)
            for i, changed in zip(group, scores, strict=True):
                found[i] = self._intact | changed
        return [self.knocked(scores) for scores in found]

    def reach(self, point: str) -> Collection[str]:
        """What edits of the tokens at the point can change of what the branches read."""
        return self._reached

    def _obstacle(self, condition: Condition, branch: str) -> str:
        if not any(self._is_at_or_after(place) for place in self.places(branch)):
            return f"{_READS[branch]} lie before {self.point}, where the neurons are knocked out"
        return (
            f"{_EDITS[self.tokens]} at {self.point} cannot reach {_READS[branch]}: nothing "
            "computed after it carries them there"
        )

    # --- what is stored ---

    @cached_property
    def _stored(self) -> tuple[CapturedTokens, CapturedTokens]:
        return stored_at(self.data, self.model, self.point)

    @cached_property
    def _ids(self) -> tuple[list[str], list[str]]:
        """Names of normal and test images."""
        return self.data.normal_names, self.data.test.sample_ids

    @cached_property
    def _replacement(self) -> Replacement:
        normal = self._stored[0]
        return Replacement(
            self.reference, normal.all(self.point), normal.n_prefix, self._ids[0], self.seed
        )

    @cached_property
    def _rows(self) -> slice:
        n_tokens = self._stored[0].all(self.point, slice(0, 1)).shape[1]
        return token_slice(self.tokens, n_tokens, self.tower.adapter.n_prefix_tokens)

    # --- what a knock-out reaches ---

    def _is_at_or_after(self, place: str) -> bool:
        order = list(self.tower.points)
        return order.index(place) >= order.index(self.point)

    @cached_property
    def _after(self) -> tuple[str, ...]:
        return tuple(place for place in self.read if self._is_at_or_after(place))

    @cached_property
    def _reached(self) -> tuple[str, ...]:
        one = self._stored[0].all(self.point, slice(0, 1))
        random = torch.Generator().manual_seed(0)
        noise = torch.randn(one.shape, generator=random) * one.float().std()
        found: set[str] = set()
        with torch.inference_mode():
            before = self._run_on(one, self._after)
            # Twice, since a very strong edit could drive an attention pattern to an exact 0.
            for strength in (0.1, 1.0):
                edited = one.clone()
                edited[:, self._rows] += (strength * noise)[:, self._rows].to(one.dtype)
                found |= differing(before, self._run_on(edited, self._after))
        return tuple(place for place in self._after if place in found)

    # --- running ---

    @cached_property
    def _intact(self) -> Scores:
        """Scores of the intact detector, by the same path: resumed from the point, nothing edited.

        What lies before the point is scored from the stored tokens.
        """
        (after,) = self._score([()], self._after)
        earlier = [place for place in self.read if place not in self._after]
        if not earlier:
            return after
        data, parts = self.data, []
        normal = {p: data.normal.patches(p) for p in earlier if p in data.points}
        with torch.inference_mode():
            fitted = self.fit(normal)
            for start in range(0, len(data.test), self.batch):
                rows = slice(start, start + self.batch)
                patches = {p: data.test.patches(p, rows) for p in earlier}
                parts.append(self.score(fitted, patches))
        return joined(parts) | after

    def _score(self, edits: Sequence[Condition], places: Sequence[str]) -> list[Scores]:
        """Scores under some edits at once, of what is read at ``places``."""
        with torch.inference_mode():
            normal = [join(s) for s in zip(*self._passes(0, edits, places), strict=True)]
            fitted = [self.fit(snapshot) for snapshot in normal]
            found = [
                [self.score(f, s) for f, s in zip(fitted, snapshots, strict=True)]
                for snapshots in self._passes(1, edits, places)
            ]
        return [joined(parts) for parts in zip(*found, strict=True)]

    def _passes(
        self, which: int, edits: Sequence[Condition], places: Sequence[str]
    ) -> Iterator[list[Snapshot]]:
        """Run normal (0) or test (1) images on, some at a time: one snapshot per edit."""
        tokens, ids = self._stored[which], self._ids[which]
        step = max(1, self.batch // len(edits))
        for start in range(0, len(tokens), step):
            rows = slice(start, min(start + step, len(tokens)))
            edited = tokens.all(self.point, rows).repeat(len(edits), 1, 1)
            for one, condition in zip(edited.chunk(len(edits)), edits, strict=True):
                for edit in condition:
                    index = torch.tensor(edit.neurons)
                    values = self._replacement.values(ids[rows], edit.neurons, self._rows)
                    one[:, self._rows, index] = values.expand(len(one), -1, -1).to(one.dtype)
            yield split(self._run_on(edited, places), len(edits))

    def _run_on(
        self, tokens: Float[Tensor, "row token channel"], places: Sequence[str]
    ) -> Snapshot:
        """Resume the tower from the point, as far as ``places`` need it."""
        found: dict[str, Tensor] = {}
        if self.point in places:
            found[self.point] = tokens[:, self.tower.adapter.n_prefix_tokens :].float()
        deeper = [p for p in places if p not in (self.point, OUTPUT)]
        to_the_end = OUTPUT in places
        if deeper or to_the_end:
            output, cache = self.tower.run_from(
                self.point,
                as_activation(self.tower, self.point, tokens),
                names_filter=deeper or None,
                stop_at=None if to_the_end else "auto",
            )
            found |= {p: select_tokens(self.tower, p, cache[p]) for p in deeper}
            if to_the_end:
                found[OUTPUT] = output[0] if isinstance(output, tuple) else output
        return found
