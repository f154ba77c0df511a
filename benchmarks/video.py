"""Changes of frames beside the frames alone: ``python benchmarks/video.py [--model NAME]``.

Throughput: frames per second through the tower with the streams image and change_4 beside those
with image alone, in turn on the same frames; the ratio is the median over the rounds. Memory:
growth of the peak resident memory from 100 frames of one clip to 1,000 and to 10,000, of a pass
that keeps nothing, in a process of its own. The aims are 0.9 times the throughput, and memory that
does not grow with the clip.
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

from lakeviz.activations import Loading, TokenBatches
from lakeviz.data.inputs import ImageItems
from lakeviz.data.synthetic import render_clip
from lakeviz.models import load_model

COUNTS, ROUNDS, PER_ROUND, BATCH = (100, 1000, 10_000), 5, 96, 16
POINT = "blocks.{}.hook_resid_post"


def clip_of(folder: Path, n: int) -> ImageItems:
    """One clip of ``n`` frames, which repeat those in the folder."""
    files = sorted(folder.glob("*.png"))
    paths = [files[i % len(files)] for i in range(n)]
    return ImageItems(paths, [str(i) for i in range(n)], [("clip", i) for i in range(n)])


def passes(model, frames: ImageItems, streams: tuple[str, ...]) -> float:
    """Seconds of a pass that keeps nothing."""
    deepest = POINT.format(model.n_blocks // 2)
    points = [deepest if stream == "image" else f"{deepest}@{stream}" for stream in streams]
    start = time.perf_counter()
    for batch in TokenBatches(model, frames, points, loading=Loading(BATCH, workers=0)):
        assert batch.tokens
    return time.perf_counter() - start


def peak_mib() -> float:
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--pretrained")
    parser.add_argument("--frames", type=int, nargs="*", default=COUNTS)
    parser.add_argument("--memory", metavar="FOLDER", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    model = load_model(asked.model, asked.pretrained)
    if asked.memory:
        grown = {}
        for n in asked.frames:
            passes(model, clip_of(Path(asked.memory), n), ("image", "change_4"))
            grown[n] = peak_mib()
        print(json.dumps(grown))
        return
    with tempfile.TemporaryDirectory() as made:
        from PIL import Image

        for i, frame in enumerate(render_clip("belt", "test", 0, n_frames=40).frames):
            Image.fromarray(frame).save(Path(made) / f"{i:03d}.png")
        frames = clip_of(Path(made), PER_ROUND)
        passes(model, frames, ("image",))
        ratios, speeds = [], []
        for _ in range(ROUNDS):
            alone = passes(model, frames, ("image",))
            both = passes(model, frames, ("image", "change_4"))
            ratios.append(alone / both)
            speeds.append(PER_ROUND / both)
        said = f"{median(speeds):.0f} frames/s, {median(ratios):.2f} times those without changes"
        print(f"{asked.model}: {said}")
        command = [sys.executable, __file__, "--model", asked.model, "--memory", made]
        command += ["--pretrained", asked.pretrained] if asked.pretrained else []
        command += ["--frames", *map(str, asked.frames)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        grown = {int(n): mib for n, mib in json.loads(out).items()}
        first = min(grown)
        for n, mib in grown.items():
            print(f"{n:,} frames: peak {mib:.0f} MiB, {mib - grown[first]:+.0f}")


if __name__ == "__main__":
    main()
