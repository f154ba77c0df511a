"""What hooks cost: hooked forward with streaming variance against the bare tower, and early stop.

Run with ``python benchmarks/hooks.py``. Both sides of a ratio alternate within one run, and the
figure is the median of the ratios of neighbouring passes, so that a busy machine slows both alike.
Random weights: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from lakeviz.activations.statistics import RunningStatistics
from lakeviz.models import VisionModel, load_model, read_only


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def paired(repeats: int, *sides: Callable[[], object]) -> list[list[float]]:
    """Times of each side, side by side: one row per round, after one round to warm up."""
    for side in sides:
        side()
    return [[seconds(side) for side in sides] for _ in range(repeats)]


def streaming(model: VisionModel, images: torch.Tensor) -> Callable[[], object]:
    """One hooked pass that updates count, mean, variance and range of all residual channels."""
    names = model.tower.resolve("blocks.*.hook_resid_post")

    def run() -> object:
        running = RunningStatistics(names)

        @read_only
        def update(tensor: torch.Tensor, hook: object) -> None:
            running[hook.name].update(tensor[:, model.n_prefix_tokens :])  # type: ignore[attr-defined]

        return model.tower.run_with_hooks(images, fwd_hooks=[(names, update)])

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ViT-B-16")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    model = load_model(args.model, "random", device=args.device)
    images = torch.randn(args.batch, 3, *model.image_size, device=args.device)
    bare, n = model.tower.tower, model.n_blocks
    middle = f"blocks.{n // 2 - 1}.hook_resid_post"

    def stop_at(name: str) -> Callable[[], object]:
        return lambda: model.tower(images, stop_at=name)

    with torch.inference_mode():
        assert torch.equal(bare(images), model.tower(images))
        rows = paired(
            args.repeats,
            lambda: bare(images),
            streaming(model, images),
            stop_at(middle),
            stop_at("blocks.0.hook_resid_pre"),
        )
    hooked = statistics.median(hooked / bare for bare, hooked, _, _ in rows)
    # Proportional to the work: the embedding and half of the blocks, of the embedding and all.
    stopped = statistics.median(
        half / (embed + (bare - embed) / 2) for bare, _, half, embed in rows
    )
    share = statistics.median(half / bare for bare, _, half, _ in rows)
    print(f"{args.model}, batch {args.batch}, {args.device}, {torch.get_num_threads()} threads")
    print(f"bare tower: {statistics.median(row[0] for row in rows):.3f} s per pass\n")
    print(f"{'':58}{'measured':>10}{'goal':>16}")
    print(
        f"{'hooked, streaming statistics of all blocks / bare':58}{hooked:>9.3f}x{'<= 1.03x':>16}"
    )
    print(f"{'stop at mid-depth / proportional':58}{stopped:>9.3f}x{'0.95x to 1.05x':>16}")
    print(f"{'stop at mid-depth / bare':58}{share:>9.3f}x")


if __name__ == "__main__":
    main()
