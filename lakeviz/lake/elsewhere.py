"""What users of other tools look for on a detector, and where it is here."""

from __future__ import annotations

ELSEWHERE = {
    "predict": "scores are lake.score(images)",
    "decision_function": "image scores are lake.score(images).image_scores",
    "score_samples": "image scores are lake.score(images).image_scores",
    "transform": "scores are lake.score(images)",
    "train": "a detector is fitted by lake.fit(normal images)",
    "test": "a labelled data set is measured by lake.evaluate(dataset)",
    "forward": "scores are lake.score(images)",
    "plot": "evaluation.plot() draws metrics, lake.score(images).heatmap(0) an image, "
    "lake.spectrum() the neurons",
    "heatmap": "scores draw themselves: lake.score(images).heatmap(0)",
    "neurons": "they are in lake.visual.selections after fit",
    "run_with_cache": "activations come from lake.model.run_with_cache(images)",
}
