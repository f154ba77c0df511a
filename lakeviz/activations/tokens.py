"""From the tensor at a hook point to tokens with one channel axis: [image, token, channel]."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from lakeviz.data.streams import base_point, check_stream, on_stream, stream_of
from lakeviz.errors import ActivationError
from lakeviz.settings import check_choice

if TYPE_CHECKING:
    from lakeviz.models import HookedTower
    from lakeviz.models.hooks.hook_points import NamesFilter

WHICH: tuple[str, ...] = ("patch", "prefix", "all")


def resolve_points(tower: HookedTower, wanted: NamesFilter) -> tuple[str, ...]:
    """Hook points with their streams, from names and globs; of each stream in forward order."""
    if not isinstance(wanted, str) and not isinstance(wanted, Iterable):
        return tuple(tower.resolve(wanted))
    of_streams: dict[str, list[str]] = {}
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    if not names:
        return tuple(tower.resolve(names))
    for name in names:
        check_stream(stream_of(name))
        of_streams.setdefault(stream_of(name), []).append(base_point(name))
    return tuple(
        on_stream(p, stream) for stream, own in of_streams.items() for p in tower.resolve(own)
    )


def neurons_of(tower: HookedTower, point: str) -> int:
    """Number of channels (neurons) per token at a hook point.

    Raises
    ------
    UnknownHookPointError
        If the tower has no such point.
    ActivationError
        If the point has no tokens, such as an attention pattern or a pooled embedding, or a glob
        means several points.
    """
    names = tower.resolve(base_point(point))
    if len(names) != 1:
        raise ActivationError(f"{point!r} means {len(names)} hook points; name one")
    (name,) = names
    axes, sizes = tower.points[name].axes[1:], tower.points[name].sizes
    if "height" in axes:
        return sizes[axes.index("channel")]
    if axes[0] != "token":
        raise ActivationError(
            f"{name} has axes {', '.join(axes)} and so no neurons per patch token; choose a point "
            "with a token axis, such as blocks.L.hook_resid_post"
        )
    return math.prod(sizes[1:])


def check_which(which: str) -> None:
    """Refuse a choice of tokens that is none of :data:`WHICH`."""
    check_choice("tokens", which, WHICH, ActivationError)


def select_tokens(
    tower: HookedTower, point: str, tensor: Tensor, which: str = "patch"
) -> Float[Tensor, "image token channel"]:
    """Arrange the tensor of a hook point as tokens and keep the ones wanted.

    Heads are laid side by side (channel = head x d_head + index); the places of a convolutional map
    become its tokens, row by row.

    Parameters
    ----------
    tower : HookedTower
    point : str
        Exact name of the point.
    tensor : Tensor
        Its value, batch first.
    which : str
        ``"patch"``, ``"prefix"`` (class token and registers) or ``"all"``.

    Raises
    ------
    ActivationError
        If there are no such tokens.
    """
    check_which(which)
    prefix = tower.adapter.n_prefix_tokens
    if which == "prefix" and prefix == 0:
        raise ActivationError(f"{point}: this tower has no class token or registers, only patches")
    axes = tower.points[base_point(point)].axes
    if "height" in axes:
        return tensor.flatten(2).mT if axes[1] == "channel" else tensor.flatten(1, 2)
    tokens = tensor.flatten(2)
    if which == "patch":
        return tokens[:, prefix:]
    return tokens[:, :prefix] if which == "prefix" else tokens


def as_activation(
    tower: HookedTower, point: str, tokens: Float[Tensor, "image token channel"]
) -> Tensor:
    """Arrange all tokens of a hook point as the tower has them: undoes :func:`select_tokens`."""
    found = tower.points[point]
    n_elements = tokens.shape[1] * tokens.shape[2]
    if n_elements != found.elements or tokens.shape[2] != neurons_of(tower, point):
        raise ActivationError(
            f"{point} holds {found.sizes} per image, which {tokens.shape[1]} tokens of "
            f"{tokens.shape[2]} channels do not fill"
        )
    if "height" in found.axes and found.axes[1] == "channel":
        tokens = tokens.mT
    return tokens.reshape(len(tokens), *found.sizes)


def token_grid(tower: HookedTower, point: str) -> tuple[int, int]:
    """Rows and columns in which a point's patch tokens lie, those of all tiles together."""
    found = tower.points[base_point(point)]
    rows, columns = tower.adapter.grid()
    if "height" in found.axes:
        sizes = dict(zip(found.axes[1:], found.sizes, strict=True))
        rows, columns = sizes["height"], sizes["width"]
    return rows * tower.tiles[0], columns * tower.tiles[1]


def cut_tiles(
    images: Float[Tensor, "image 3 height width"], tiles: tuple[int, int]
) -> Float[Tensor, "tile 3 height_of_tile width_of_tile"]:
    """Cut images into tiles: those of an image follow each other, row by row."""
    return rearrange(images, "n c (r h) (k w) -> (n r k) c h w", r=tiles[0], k=tiles[1])


def join_tiles(
    tokens: Float[Tensor, "tile token channel"], tiles: tuple[int, int], grid: tuple[int, int]
) -> Float[Tensor, "image all_tokens channel"]:
    """Lay the patch tokens of tiles side by side: undoes :func:`cut_tiles` on a grid of patches."""
    sizes = {"r": tiles[0], "k": tiles[1], "h": grid[0] // tiles[0], "w": grid[1] // tiles[1]}
    return rearrange(tokens, "(n r k) (h w) c -> n (r h k w) c", **sizes)
