"""Peak memory, and images per second of a whole detector: ``python benchmarks/memory.py``.

Statistics: growth of the peak resident memory while the patch tokens of 10 and of 1,000 normal
images are streamed, beside the size of those tokens. A few batches run before, until the allocator
has settled; what is left of its noise is some ten MiB. Detector: peak memory of fit and score with
random weights and default settings, and images per second beside those of the bare tower, batch by
batch in turn; the ratio is the median over the batches. Each measurement runs in a process of its
own, since a peak never falls.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_benchmark

FEW, MANY, WARM_UP, SHOTS, BATCH = 10, 1000, 100, 4, 8


def peak_mib() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def streaming(model_name: str, root: str, n_images: int) -> dict[str, Any]:
    """Growth of the peak while the statistics of ``n_images`` normal images are streamed."""
    from lakeviz.activations import Loading, TokenBatches, stream_statistics
    from lakeviz.models import load_model

    model = load_model(model_name, "random")
    files = read_dataset("mvtec", root).split("train").normal().paths
    paths = [files[i % len(files)] for i in range(max(n_images, WARM_UP))]
    loading, points = Loading(BATCH, workers=0), "blocks.*.hook_resid_post"
    stream_statistics(model, paths[:WARM_UP], points, loading=loading)
    before = peak_mib()
    stream_statistics(model, paths[:n_images], points, loading=loading)
    size = TokenBatches(model, paths, points).bytes_per_image() * n_images / 2**20
    return {"images": n_images, "growth": peak_mib() - before, "tokens": size}


def detector(model_name: str, root: str) -> dict[str, Any]:
    """Peak memory and speed of fit and score, beside the bare tower."""
    import torch

    from lakeviz.activations import Loading
    from lakeviz.data.loading import ImageBatches
    from lakeviz.lake import Lake
    from lakeviz.models import load_model

    model = load_model(model_name, "random")
    data, loading = read_dataset("mvtec", root), Loading(BATCH, workers=0)
    loaded = peak_mib()
    lake = Lake(model)
    start = time.perf_counter()
    lake.fit(data.few_shot(SHOTS), loading=loading)
    fit = time.perf_counter() - start
    test, rows = data.split("test").paths, []
    for first in range(0, len(test), BATCH):
        part = test[first : first + BATCH]
        start = time.perf_counter()
        lake.score(part, loading=loading)
        middle = time.perf_counter()
        with torch.inference_mode():
            for batch in ImageBatches(part, model.preprocess, BATCH, workers=0):
                model.tower.tower(batch.images)
        rows.append((middle - start, time.perf_counter() - middle))
    return {
        "fit": fit,
        "text": lake.text is not None,
        "images": len(test),
        "loaded": loaded,
        "peak": peak_mib(),
        "speed": BATCH / median(score for score, _ in rows),
        "ratio": median(score / bare for score, bare in rows),
    }


def measured(*arguments: str) -> dict[str, Any]:
    """Run this file again with ``arguments`` and read what it prints."""
    command = [sys.executable, __file__, *arguments]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description="Peak memory and images per second.")
    parser.add_argument("--model", default="ViT-B-16", help="of the detector")
    parser.add_argument("--small", default="timm/vit_tiny_patch16_224", help="of the statistics")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        root, images = args.child
        found = streaming(args.small, root, int(images)) if images else detector(args.model, root)
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as folder:
        root = str(write_benchmark(Path(folder), categories=("tile",), size=256))
        print(f"streaming statistics of all blocks, {args.small}\n")
        print(f"{'images':>8}{'growth of the peak, MiB':>26}{'the tokens, MiB':>18}")
        for n in (FEW, MANY):
            one = measured("--small", args.small, "--child", root, str(n))
            print(f"{one['images']:8}{one['growth']:26.1f}{one['tokens']:18.1f}", flush=True)
        found = measured("--model", args.model, "--child", root, "")
    print(f"\ndetector, {args.model}, {SHOTS} shots, {found['images']} test images")
    print(f"fit {found['fit']:.1f} s (with the prompts: {'yes' if found['text'] else 'no'})")
    print(f"score {found['speed']:.2f} images/s, {found['ratio']:.3f}x the time of the bare tower")
    print(f"peak {found['peak']:.0f} MiB, of which the model loaded {found['loaded']:.0f}")


if __name__ == "__main__":
    main()
