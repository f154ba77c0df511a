"""What a forward knock-out puts in place of an activation: zero, a mean, or other normal values."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from lakeviz.errors import ConfigError


def token_slice(tokens: str, n_tokens: int, n_prefix: int) -> slice:
    """Rows of ``"all"`` tokens (registers too), of ``"patch"`` tokens, or of the class token."""
    if tokens == "cls":
        return slice(0, 1)
    return slice(n_prefix if tokens == "patch" else 0, n_tokens)


@dataclass(frozen=True)
class Replacement:
    """Values for every token of an image, from the tokens of the normal images at one hook point.

    Parameters
    ----------
    reference : str
        ``"zero"``. ``"mean"``: over the normal images, of all patch tokens for a patch token, and
        of the class token (or the same register) for that one. ``"resample"``: for every token of
        every image another normal token of the same kind is drawn, and gives the values of all
        channels that are replaced.
    normal : Tensor [image, token, channel]
        All tokens of the normal images, prefix tokens first.
    n_prefix : int
    normal_ids : sequence of str
        Names of the normal images.
    seed : int
        Of the draws. A draw depends on the seed and the names of the images alone: not on their
        order, the batch, or the condition, so that conditions are compared on the same draws.
    """

    reference: str
    normal: Float[Tensor, "image token channel"]
    n_prefix: int
    normal_ids: Sequence[str]
    seed: int = 0

    def values(
        self, image_ids: Sequence[str], channels: Sequence[int], rows: slice
    ) -> Float[Tensor, "#image token channels"]:
        """Values of some channels for the tokens ``rows`` of some images.

        Raises
        ------
        ConfigError
            If prefix tokens are to be resampled and there is one normal image, which has no other.
        """
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
