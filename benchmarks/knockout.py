"""All single knock-outs of a gallery against one full scoring: ``python benchmarks/knockout.py``.

One full scoring is ``Gallery.score`` of the queries in all channels of the gallery. Against it
stand the distances without each of 100 channels, one at a time, by :class:`SingleKnockouts`; what
it prepares once per gallery counts too. The two alternate within one run, and the figure is the
median of the ratios of neighbouring pairs, in time of the processor, since wall time on a busy
machine measures the others. The largest difference is to new galleries without the channel, for
some channels.

Without options the tokens are those of ``gallery.py``: a 37 x 37 grid of query patches against four
images of them, 100 channels. With ``--data`` and ``--weights`` they are tokens of a timm
ViT-Tiny (``--layout``, ``--category``, ``--shots``, ``--block``), whose 100 channels of highest
variance are knocked out of the detector that reads all 192.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lakeviz import load_model, read_dataset
from lakeviz.activations import ChannelStatistics, capture_activations
from lakeviz.lake import Gallery, NeuronSelection, select
from lakeviz.studies.knockout.leave_one_out import SingleKnockouts

GOAL, N_CHANNELS = 3.0, 100


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def synthetic() -> tuple[Tensor, Tensor]:
    """Gallery and queries of ``gallery.py``: unequal spread around means of their own."""
    generator = torch.Generator().manual_seed(0)
    spread = torch.logspace(-1, 1, 1024)
    mean = 3 * torch.randn(1024, generator=generator)
    both = torch.randn(5476 + 1369, 1024, generator=generator)
    tokens = (both * spread + mean)[:, -N_CHANNELS:].contiguous()
    return tokens[:5476], tokens[5476:]


def real(args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """Gallery of a few normal images, and queries of seven test images."""
    model = load_model("timm/vit_tiny_patch16_224", str(args.weights))
    dataset = read_dataset(args.layout, args.data)
    own = dataset.category(args.category or dataset.categories[0])
    point = f"blocks.{args.block}.hook_resid_post"
    test = own.split("test")
    few = test.where([i < 7 for i in range(len(test))])
    found = [
        capture_activations(model, images, [point], tokens="patch").read(point)
        for images in (own.few_shot(args.shots, 0).paths, few)
    ]
    return found[0].float().flatten(0, 1), found[1].float().flatten(0, 1)


def compare(gallery: Gallery, queries: Tensor, channels: list[int], repeats: int) -> str:
    """Milliseconds of both sides, ratio, share of pruned pairs, largest difference."""
    made = SingleKnockouts(gallery, channels)
    sides = (
        lambda: gallery.score(queries),
        lambda: SingleKnockouts(gallery, channels).score(queries),
    )
    found = made.score(queries)
    rows = [[seconds(side) for side in sides] for _ in range(repeats)]
    full, singles = (1e3 * statistics.median(times) for times in zip(*rows, strict=True))
    ratio = statistics.median(single / whole for whole, single in rows)
    worst = 0.0
    for place in range(0, len(channels), max(1, len(channels) // 10)):
        keep = [c for c in range(gallery.k) if c != channels[place]]
        without = Gallery(gallery.tokens[:, keep], distance=gallery.distance)
        gap = (without.score(queries[:, keep]) - found[:, place]).abs().max()
        worst = max(worst, float(gap))
    return f"{full:9.1f}{singles:10.1f}{ratio:8.2f}x{100 * made.pruned:9.1f} %{worst:14.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Single knock-outs against one full scoring.")
    parser.add_argument("--data", type=Path, help="Folder of a data set.")
    parser.add_argument("--weights", type=Path, help="Weights of vit_tiny_patch16_224.")
    parser.add_argument("--layout", default="mtd")
    parser.add_argument("--category")
    parser.add_argument("--shots", type=int, default=28)
    parser.add_argument("--block", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    sets = {"synthetic": synthetic()}
    if args.data and args.weights:
        sets[args.data.name] = real(args)
    for name, (tokens, queries) in sets.items():
        statistics_ = ChannelStatistics("tokens").update(tokens)
        chosen = select(statistics_, N_CHANNELS, "variance")
        assert isinstance(chosen, NeuronSelection)
        print(
            f"\n{name}: {len(queries)} queries, {len(tokens)} gallery tokens, {N_CHANNELS} of "
            f"{tokens.shape[1]} channels knocked out, threads: {args.threads}"
        )
        print(
            f"{'':12}{'full ms':>9}{'all ms':>10}{'ratio':>9}{'pruned':>11}{'largest diff.':>14}"
            "   goal"
        )
        for distance in ("cosine", "euclidean"):
            gallery = Gallery(tokens, distance=distance)
            line = compare(gallery, queries, chosen.channels.tolist(), args.repeats)
            print(f"{distance:12}{line}   <= {GOAL:.0f}x", flush=True)


if __name__ == "__main__":
    main()
