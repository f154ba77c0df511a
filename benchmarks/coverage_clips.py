"""Coverage of intervals over clips: ``python benchmarks/coverage_clips.py [--repeats N]``.

Frame scores are drawn: every clip has a level of its own, frames of a clip follow each other (an
autoregression), and an event in the second half of two clips of three raises them; so are small
maps, which rise on a square during the event. The truth is the value of very many such clips.
Counted is how often 95 % intervals over clips hold it, of every metric of the table of clips, and
of the micro AUROC over frames as if each were independent.
"""

from __future__ import annotations

import argparse

import numpy as np

from lakeviz.lake.clip_rows import ALL, clip_table
from lakeviz.lake.ground_truth import Truth
from lakeviz.lake.metric_rows import image_rows
from lakeviz.metrics import Bootstrap, Conventions
from lakeviz.metrics.clips import over_clips
from lakeviz.metrics.image_intervals import image_intervals

FRAMES, LEVEL, MEMORY, EVENT, SIDE = 60, 0.7, 0.9, 1.5, 6
METRICS = (
    *("auroc_micro", "average_precision", "auroc_macro"),
    *("events_found", "delay", "rbdc", "tbdc"),
)
Drawn = tuple[np.ndarray, np.ndarray, np.ndarray, list[tuple[str, int]]]


def drawn(rng: np.random.Generator, n_clips: int) -> Drawn:
    """Scores, labels and maps of all frames, and which frames they are."""
    noise = rng.normal(size=(n_clips, FRAMES)) * np.sqrt(1 - MEMORY**2)
    noise[:, 0] = rng.normal(size=n_clips)
    for frame in range(1, FRAMES):
        noise[:, frame] += MEMORY * noise[:, frame - 1]
    labels = np.zeros((n_clips, FRAMES), dtype=int)
    begins = rng.integers(FRAMES // 2, FRAMES - 10, n_clips)
    for clip in range(n_clips):
        labels[clip, begins[clip] :] = clip % 3 > 0
    still = (LEVEL * rng.normal(size=(n_clips, 1)) + noise).ravel()
    labels = labels.ravel()
    maps = 0.5 * rng.normal(size=(len(labels), SIDE, SIDE)) + still[:, None, None]
    maps[:, 2:4, 2:4] += EVENT * labels[:, None, None]
    frames = [(str(c), i) for c in range(n_clips) for i in range(FRAMES)]
    return still + EVENT * labels, labels, maps.astype(np.float32), frames


def table(found: Drawn, bootstrap: Bootstrap) -> dict[str, dict]:
    """Rows of the table of clips by metric."""
    scores, labels, maps, frames = found
    masks = np.zeros(maps.shape, dtype=bool)
    masks[:, 2:4, 2:4] = labels[:, None, None]
    resampling = over_clips(bootstrap, frames)
    branches = {"lake": [scores]}
    known, _ = image_rows(branches, labels, Conventions(), resampling)
    truth = Truth.of_masks(labels, list(masks))
    made = clip_table(branches, list(maps), truth, frames, known, resampling)
    return made[made["clip"] == ALL].set_index("metric").to_dict("index")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--clips", type=int, nargs="+", default=(3, 6, 12, 24))
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    whole = [table(drawn(rng, 600), Bootstrap(n_resamples=2)) for _ in range(5)]
    truth = {m: float(np.mean([one[m]["value"] for one in whole])) for m in METRICS}
    print("truth:", ", ".join(f"{name} {value:.3f}" for name, value in truth.items()))
    for n_clips in asked.clips:
        held = {name: [] for name in (*METRICS, "auroc over frames")}
        for seed in range(asked.repeats):
            found, plain = drawn(rng, n_clips), Bootstrap(n_resamples=300, seed=seed)
            rows = table(found, plain)
            frames = image_intervals(found[0], found[1], ["auroc"], plain)["auroc"]
            bounds = {m: (rows[m].get("low", np.nan), rows[m].get("high", np.nan)) for m in METRICS}
            bounds["auroc over frames"] = frames.low, frames.high
            for name, (low, high) in bounds.items():
                if np.isfinite(low):
                    own = truth["auroc_micro"] if name not in truth else truth[name]
                    held[name].append(low <= own <= high)
        said = [f"{m} {100 * np.mean(h):.0f} % of {len(h)}" for m, h in held.items() if h]
        print(f"{n_clips:3} clips: {', '.join(said)}", flush=True)


if __name__ == "__main__":
    main()
