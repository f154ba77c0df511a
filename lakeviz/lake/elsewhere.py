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

OF_SCORES = {
    "anomaly_map": "it is scores.pixel_map(0), of patches scores.patch[0]",
    "anomaly_maps": "they are scores.pixel_maps(), of patches scores.patch",
    "pred_score": "image scores are scores.image_scores",
    "pred_scores": "image scores are scores.image_scores",
    "pred_label": "a threshold is chosen by lake.evaluate(dataset): its metrics, row f1_max",
    "scores": "of images scores.image_scores, of patches scores.patch",
    "plot": "scores.heatmap(0) draws one image",
}

OF_EVALUATION = {
    "auroc": "every number with its interval is in evaluation.metrics",
    "results": "every number with its interval is in evaluation.metrics",
    "plot_roc": "evaluation.plot('roc')",
    "to_csv": "evaluation.metrics.to_csv(PATH); evaluation.save(FOLDER) writes all",
}
