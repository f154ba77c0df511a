"""Gallery search in k chosen channels against all of them: ``python benchmarks/gallery.py``.

A 37 x 37 grid of query patches (518 pixels, patch 14) against four images of them, in a tower of
1024 channels. Both sides alternate within one run, the selection of the query's channels counts
on the sparse side, and the figure is the median of the ratios of neighbouring searches, so that a
busy machine slows both alike. It runs on one thread unless told otherwise, since a short search on
all cores of a busy machine measures its scheduler. The last column is the largest difference of the
found distances to those of ``torch.cdist`` and of a matrix product in double precision.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from lakeviz.lake import Gallery

GOAL = 5.0


def seconds(run: Callable[[], object], device: str) -> float:
    start = time.perf_counter()
    run()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def exact(queries: Tensor, tokens: Tensor, distance: str, n: int) -> Tensor:
    """Distances of the nearest neighbours, in double precision and without any trick."""
    q, g = queries.double(), tokens.double()
    if distance == "cosine":
        apart = 1 - F.normalize(q, dim=1) @ F.normalize(g, dim=1).T
    else:
        apart = torch.cdist(q, g, compute_mode="donot_use_mm_for_euclid_dist")
    return apart.topk(n, largest=False).values


def compare(
    queries: Tensor, tokens: Tensor, chosen: Tensor, distance: str, n: int, repeats: int
) -> tuple[float, float, float]:
    """Median milliseconds of the sparse search, median ratio, largest error."""
    dense = Gallery(tokens, distance=distance, neighbours=n)
    sparse = Gallery(tokens[:, chosen], distance=distance, neighbours=n)
    sides = (lambda: sparse.search(queries.index_select(1, chosen)), lambda: dense.search(queries))
    for side in sides:
        side()
    device = queries.device.type
    rows = [[seconds(side, device) for side in sides] for _ in range(repeats)]
    expected = exact(queries[:, chosen], tokens[:, chosen], distance, n)
    error = (sides[0]().distances.double() - expected).abs().max().item()
    ratio = statistics.median(whole / part for part, whole in rows)
    return 1e3 * statistics.median(row[0] for row in rows), ratio, error


def main() -> None:
    parser = argparse.ArgumentParser(description="Search in k channels against all channels.")
    parser.add_argument("--gallery", type=int, default=5476)
    parser.add_argument("--queries", type=int, default=1369)
    parser.add_argument("--channels", type=int, default=1024)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(0)
    # Channels of unequal spread around means of their own, as in a residual stream.
    spread = torch.logspace(-1, 1, args.channels)
    mean = 3 * torch.randn(args.channels, generator=generator)
    both = torch.randn(args.gallery + args.queries, args.channels, generator=generator)
    tokens, queries = (both * spread + mean).to(args.device).split((args.gallery, args.queries))
    chosen = torch.arange(args.channels - args.k, args.channels, device=args.device)
    print(
        f"{args.queries} queries, {args.gallery} gallery tokens, {args.k} of {args.channels} "
        f"channels, {args.device}, threads: {args.threads}\n"
    )
    print(f"{'':26}{'ms':>8}{'all / k':>10}{'goal':>8}{'largest error':>16}")
    for distance in ("cosine", "euclidean"):
        for n in (1, 5):
            ms, ratio, error = compare(queries, tokens, chosen, distance, n, args.repeats)
            goal = f">= {GOAL:.0f}x" if n == 1 else ""
            name = f"{distance}, {n} neighbour{'s' if n > 1 else ''}"
            print(f"{name:26}{ms:8.1f}{ratio:9.1f}x{goal:>8}{error:16.1e}")


if __name__ == "__main__":
    main()
