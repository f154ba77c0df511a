"""Cost of interventions on 100 pairs of a 12-block tower: ``python benchmarks/patching.py``.

The heat map exchanges whole tokens at 12 blocks for 4 groups of tokens in one direction; the
attribution is gradient times difference of all 12 x (192 + 768) units, one forward and one backward
pass. Both are seconds of the processor, on one thread (``--threads``): a busy machine distorts
them less than wall time. The tower is a ViT-Tiny with random weights, the pictures are those of the
synthetic benchmark with rendered twins; the time does not depend on either.
"""

from __future__ import annotations

import argparse
import tempfile
import time

import torch

from lakeviz import LakeOptions, capture_study, load_model, read_dataset, write_benchmark
from lakeviz.studies.patching.attribution import attributed_points, gradient_attribution
from lakeviz.studies.patching.effects import heatmap_rows
from lakeviz.studies.patching.result import Settings
from lakeviz.studies.patching.setup import make_interchange

AIMS = {"heat map": 180.0, "attribution": 30.0}


def main() -> None:
    """Print seconds of both, and the aims, which are those of two idle cores together."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        root = write_benchmark(
            folder, categories=("gear",), size=224, n_train=4, n_good=2, n_per_defect=25
        )
        data = read_dataset("mvtec", root)["gear"]
        model = load_model("timm/vit_tiny_patch16_224", "random")
        options = LakeOptions(map_size=(64, 64), layers=(11,), text_weight=0)
        captured = capture_study(model, data.few_shot(4), data, options=options)
        settings = Settings(n_pairs=args.pairs, directions=("denoising",))
        made = make_interchange([captured], settings)
        made.intact  # noqa: B018 - measured once, not part of either
        points = attributed_points(made)
        n_units = sum(made.sides(p)[0].shape[-1] for p in points)
        made.hold(points[0])
        print(f"{len(made.pairs)} pairs, {n_units:,} units of {len(points)} hook points")
        jobs = {
            "heat map": lambda: list(heatmap_rows(made, settings, 0.95)),
            "attribution": lambda: gradient_attribution(made, points),
        }
        for name, job in jobs.items():
            start, wall = time.process_time(), time.perf_counter()
            job()
            took, passed = time.process_time() - start, time.perf_counter() - wall
            print(
                f"{name}: {took:.0f} s of the processor, {passed:.0f} s on the clock; "
                f"aim: less than {AIMS[name]:.0f} s on the clock of two idle cores"
            )


if __name__ == "__main__":
    main()
