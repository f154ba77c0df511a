"""What resuming saves: forward knock-outs from stored activations against whole hooked passes.

Run with ``python benchmarks/forward.py``. Both sides knock the same neurons out of the same images:
one condition after the other through the whole tower, or several in a batch from the point on. The
sides alternate within one run and the figure is the median of the ratios of neighbouring rounds, so
that a busy machine slows both alike. What is read is compared in the same run: the output of the
tower, and the tokens one block on, as a detector with hook points side by side reads them.

The blocks alone give a ratio of ``n / (n - after)``, the embedding a little more; the rest is what
batching conditions gains. Random weights: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from lakeviz.models import VisionModel, load_model

TOLERANCE = 1e-5
GOAL = 2.0


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def whole(
    model: VisionModel, images: Tensor, point: str, read: str, conditions: list[list[int]]
) -> Tensor:
    """What is read [condition, image, ...] in whole passes with a hook at the point."""
    found = []
    for neurons in conditions:

        def edit(tensor: Tensor, hook: object, neurons: list[int] = neurons) -> Tensor:
            tensor[..., neurons] = 0
            return tensor

        with model.tower.hooks([(point, edit)]):
            _, cache = model.tower.run_with_cache(images, names_filter=read)
        found.append(cache[read])
    return torch.stack(found)


def resumed(
    model: VisionModel,
    stored: Tensor,
    point: str,
    read: str,
    conditions: list[list[int]],
    batch: int,
) -> Tensor:
    """The same from the stored activations, several conditions in a batch."""
    together, found = max(1, batch // len(stored)), []
    for start in range(0, len(conditions), together):
        group = conditions[start : start + together]
        edited = stored.repeat(len(group), 1, 1)
        for rows, neurons in zip(edited.chunk(len(group)), group, strict=True):
            rows[..., neurons] = 0
        _, cache = model.tower.run_from(point, edited, names_filter=read, stop_at="auto")
        found.append(cache[read].unflatten(0, (len(group), len(stored))))
    return torch.cat(found)


def ratios(
    model: VisionModel, n_images: int, conditions: list[list[int]], batch: int, repeats: int
) -> None:
    """Print one row per depth, and one for a detector that reads the block after the point."""
    images = torch.randn(n_images, 3, *model.image_size, device=model.device)
    n, end = model.n_blocks, "hook_image_features"
    half = n // 2
    for after, read in (
        (n // 4, end),
        (half, end),
        (3 * n // 4, end),
        (half, f"blocks.{half}.hook_resid_post"),
    ):
        point = f"blocks.{after - 1}.hook_resid_post"
        with torch.inference_mode():
            _, cache = model.tower.run_with_cache(images, names_filter=point)
            long = partial(whole, model, images, point, read, conditions)
            short = partial(resumed, model, cache[point], point, read, conditions, batch)
            torch.testing.assert_close(short(), long(), rtol=TOLERANCE, atol=TOLERANCE)
            rows = [(seconds(long), seconds(short)) for _ in range(repeats)]
        ratio = statistics.median(a / b for a, b in rows)
        slow, fast = (statistics.median(side) for side in zip(*rows, strict=True))
        name = f"{after} of {n} blocks, " + ("the end" if read == end else "one block on")
        goal = f">= {GOAL:g}x" if after == half else ""
        print(f"{n_images:<9}{name:34}{slow:>8.3f} s{fast:>8.3f} s{ratio:>8.2f}x{goal:>9}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="timm/vit_tiny_patch16_224")
    parser.add_argument("--images", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--conditions", type=int, default=8)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    model = load_model(args.model, "random", device=args.device)
    torch.manual_seed(0)
    each = min(20, model.d_model // args.conditions)
    chosen = torch.randperm(model.d_model)[: each * args.conditions]
    conditions = chosen.reshape(args.conditions, each).tolist()
    print(
        f"{args.model}, {args.conditions} conditions of {each} neurons, {args.device}, "
        f"{torch.get_num_threads()} threads\n"
    )
    heads = f"{'images':9}{'knocked out after, read at':34}"
    print(f"{heads}{'whole':>10}{'resumed':>10}{'ratio':>9}{'goal':>9}")
    for n_images in args.images:
        ratios(model, n_images, conditions, args.batch, args.repeats)


if __name__ == "__main__":
    main()
