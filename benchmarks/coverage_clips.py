"""Coverage of intervals over clips: ``python benchmarks/coverage_clips.py [--repeats N]``.

Frame scores are drawn: every clip has a level of its own, frames of a clip follow each other (an
autoregression), and an event in the second half of two clips of three raises them. The truth is the
AUROC of very many such clips. Counted is how often 95 % intervals hold it: of the micro AUROC over
clips, and over frames as if each were independent.
"""

from __future__ import annotations

import argparse

import numpy as np

from lakeviz.metrics import Bootstrap
from lakeviz.metrics.clusters import over_clips
from lakeviz.metrics.image import auroc
from lakeviz.metrics.image_intervals import image_intervals

FRAMES, LEVEL, MEMORY, EVENT = 60, 0.7, 0.9, 1.5


def drawn(rng: np.random.Generator, n_clips: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores and labels [clip, frame]."""
    noise = rng.normal(size=(n_clips, FRAMES)) * np.sqrt(1 - MEMORY**2)
    noise[:, 0] = rng.normal(size=n_clips)
    for frame in range(1, FRAMES):
        noise[:, frame] += MEMORY * noise[:, frame - 1]
    labels = np.zeros((n_clips, FRAMES), dtype=int)
    begins = rng.integers(FRAMES // 2, FRAMES - 10, n_clips)
    for clip in range(n_clips):
        labels[clip, begins[clip] :] = clip % 3 > 0
    return LEVEL * rng.normal(size=(n_clips, 1)) + noise + EVENT * labels, labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=400)
    repeats = parser.parse_args().repeats
    rng = np.random.default_rng(0)
    scores, labels = drawn(rng, 9000)
    truth = auroc(scores.ravel(), labels.ravel())
    print(f"true micro AUROC {truth:.3f}; {repeats} repeats")
    for n_clips in (3, 6, 12, 24):
        frames = [(str(c), i) for c in range(n_clips) for i in range(FRAMES)]
        held, width = np.zeros(2), np.zeros(2)
        for seed in range(repeats):
            scores, labels = (part.ravel() for part in drawn(rng, n_clips))
            plain = Bootstrap(n_resamples=300, seed=seed)
            for number, bootstrap in enumerate((over_clips(plain, frames), plain)):
                found = image_intervals(scores, labels, ["auroc"], bootstrap)["auroc"]
                held[number] += found.low <= truth <= found.high
                width[number] += found.high - found.low
        said = [f"{100 * h / repeats:.0f} % ({w / repeats:.2f} wide)" for h, w in zip(held, width)]
        print(f"{n_clips:3} clips: over clips {said[0]}, over frames {said[1]}")


if __name__ == "__main__":
    main()
