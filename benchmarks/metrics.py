"""Pixel AUROC, AP, F1-max and AUPRO of 100 maps of 256x256: ratios to np.sort and to others.

    uv run python benchmarks/metrics.py
    uv run --with anomalib python benchmarks/metrics.py        # anomalib as well

All sides run in turn, in one process, on the same scores; the best of the repeats counts. The
ratio to ``np.sort`` depends on the processor: with AVX-512 numpy sorts about ten times faster than
without, and the binary searches and the labelling of regions, which nothing speeds up likewise,
weigh more. ``NPY_DISABLE_CPU_FEATURES="AVX512_SKX AVX512_ICL AVX2"`` (the names that
``np.show_config`` lists) shows the other kind of machine.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import ndimage
from sklearn import metrics as sk

from lakeviz.metrics import pixel_metrics

FOUR = ("auroc", "average_precision", "f1_max", "aupro")
Values = dict[str, float]


def make_maps(n: int, side: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Smooth maps in [0, 1]; every other image has elliptic defects, about 2 % of all pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] / side
    maps, masks = np.empty((n, side, side), np.float32), np.zeros((n, side, side), bool)
    for i in range(n):
        noise = ndimage.gaussian_filter(rng.standard_normal((side, side)), 4, mode="wrap")
        if i % 2:
            for _ in range(rng.integers(1, 4)):
                cy, cx = rng.uniform(0.15, 0.85, 2)
                ry, rx = rng.uniform(0.04, 0.12, 2)
                masks[i] |= ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 < 1
        maps[i] = noise / noise.std() + 3 * ndimage.gaussian_filter(masks[i].astype(float), 4)
    return (maps - maps.min()) / (maps.max() - maps.min()), masks


def ours(maps: np.ndarray, masks: np.ndarray) -> Values:
    result = pixel_metrics(maps, masks, metrics=FOUR)
    return {name: getattr(result, name) for name in FOUR}


def scikit_learn(maps: np.ndarray, masks: np.ndarray) -> Values:
    scores, labels = maps.ravel(), masks.ravel()
    precision, recall, _ = sk.precision_recall_curve(labels, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return {
        "auroc": float(sk.roc_auc_score(labels, scores)),
        "average_precision": float(sk.average_precision_score(labels, scores)),
        "f1_max": float(f1.max()),
    }


def anomalib_metrics() -> Callable[[np.ndarray, np.ndarray], Values] | None:
    """Return anomalib's four metrics as one function, or None where it is not installed."""
    try:
        import torch
        from anomalib import metrics as am  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    fields = ["anomaly_map", "gt_mask"]
    classes = dict(zip(FOUR, (am.AUROC, am.AUPR, am.F1Max, am.AUPRO)))

    def compute(maps: np.ndarray, masks: np.ndarray) -> Values:
        batch: Any = SimpleNamespace(
            anomaly_map=torch.from_numpy(maps), gt_mask=torch.from_numpy(masks).int()
        )
        values = {}
        for name, kind in classes.items():
            metric = kind(fields=fields)
            metric.update(batch)
            values[name] = float(metric.compute())
        return values

    return compute


def best_times(sides: dict[str, tuple[Callable[[], object], int]]) -> dict[str, float]:
    """Best wall-clock seconds of each side, run in turn."""
    best = dict.fromkeys(sides, float("inf"))
    for turn in range(max(repeats for _, repeats in sides.values())):
        for name, (function, repeats) in sides.items():
            if turn < repeats:
                start = time.perf_counter()
                function()
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Time the pixel metrics against np.sort and others."
    )
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=25, help="of np.sort and lakeviz")
    parser.add_argument("--slow-repeats", type=int, default=3, help="of the others")
    options = parser.parse_args()
    maps, masks = make_maps(options.images, options.side)
    flat = maps.ravel()
    others = {"scikit-learn (no AUPRO)": scikit_learn, "anomalib": anomalib_metrics()}
    present = {name: function for name, function in others.items() if function}

    sides: dict[str, tuple[Callable[[], object], int]] = {
        "np.sort of all scores": (lambda: np.sort(flat), options.repeats),
        "lakeviz": (lambda: ours(maps, masks), options.repeats),
    }
    for name, function in present.items():
        sides[name] = (lambda f=function: f(maps, masks), options.slow_repeats)
    seconds = best_times(sides)
    reference = ours(maps, masks)
    sort, own = seconds["np.sort of all scores"], seconds["lakeviz"]

    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    print(
        f"{options.images} maps of {options.side}x{options.side} float32, "
        f"{masks.mean():.1%} defect pixels, {cpus} CPUs, numpy {np.__version__}\n"
    )
    print(f"{'':26}{'ms':>9}{'/ np.sort':>11}{'/ lakeviz':>11}{'largest difference':>21}")
    for name, taken in seconds.items():
        gap = ""
        if name in present:
            values = present[name](maps, masks)
            gap = f"{max(abs(values[k] - reference[k]) for k in values):.1e}"
        print(f"{name:26}{taken * 1e3:9.1f}{taken / sort:11.2f}{taken / own:11.2f}{gap:>21}")
    for name in others:
        if name not in present:
            print(f"{name:26}  not installed: uv run --with {name} python benchmarks/metrics.py")


if __name__ == "__main__":
    main()
