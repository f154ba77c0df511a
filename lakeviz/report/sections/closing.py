"""What the run does not show, and what its numbers mean."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lakeviz.metrics.bootstrap import Bootstrap
from lakeviz.report.baseline import map_size
from lakeviz.report.page_model import Page, Section
from lakeviz.report.sections.categories import common_notes
from lakeviz.report.sections.controls import measured_rows
from lakeviz.tables import n_draws
from lakeviz.wording import some


def closing(page: Page) -> list[Section]:
    """Make the closing section: limits, and the conventions of the numbers."""
    context = {"conventions": conventions(page), "limits": list(_limits(page))}
    return [Section("shows", "What this run does not show", "closing.html", context)]


def conventions(page: Page) -> list[tuple[str, str]]:
    """What the numbers mean: the choices a metric's name leaves open."""
    given = page.provenance.get("conventions", {})
    bootstrap = Bootstrap.from_plain(page.provenance.get("bootstrap"))
    bounds = given.get("aupimo_bounds", ("?", "?"))
    size = f"{map_size(page)} (height x width)" if map_size(page) else "not scored"
    # Runs of before have no such column.
    full_size = "n_regions" in page.table("metrics")
    labelled = "labelled on the masks at " + ("image size" if full_size else "the size of the maps")
    maps = page.evaluations[0].maps
    smoothing = f"Gaussian of {maps.smoothing:g} pixels" if maps.smoothing else "none"
    return [
        ("Image score", f"{given.get('image_score') or 'max'} over the patches"),
        ("Pixel maps", f"{size}; smoothing: {smoothing}"),
        ("Average precision", f"{given.get('ap_rule')} rule"),
        ("Ties", f"count {given.get('ties')}"),
        ("Regions (AUPRO)", f"{given.get('connectivity')}-connected, {labelled}"),
        ("AUPRO limit", f"false-positive rate {given.get('aupro_limit')}, normalised by it"),
        ("AUPIMO bounds", f"false-positive rate {bounds[0]} to {bounds[1]} on normal images"),
        (
            "Intervals",
            f"{given.get('interval')}; {100 * bootstrap.confidence:g} %, "
            f"{bootstrap.n_resamples} resamples, seed {bootstrap.seed}",
        ),
    ]


def _limits(page: Page) -> Iterator[str]:
    """What a reader should not conclude, as far as the run itself tells."""
    yield _sources(n_draws(measured_rows(page.table("controls"))))
    yield (
        "The threshold of F1-max is chosen on the test images themselves. It bounds what a "
        "threshold fixed beforehand would reach."
    )
    few = [e for e in page.ordered if 0 < _fewest(e) < 20]
    if few:
        yield (
            f"{some([e.category for e in few], 6)}: fewer than 20 test images of one class. "
            "What intervals cover there is in the table of coverage in the docs; an interval that "
            "ends at 1.000 is no certainty."
        )
    for note in common_notes(page):
        yield f"Every category: {note}."
    if page.table("controls").empty:
        yield (
            "No control was run. Nothing here says that these neurons do better than as many "
            "others would."
        )
    else:
        yield (
            "Controls compare the visual branch alone. A higher score shows that the chosen "
            "neurons serve this detector on these images, not that they cause the model's "
            "knowledge of defects."
        )
    yield (
        "Heat maps show distance to normal patches, not a reason; a strange background lights up "
        "too."
    )
    unmasked = [e for e in page.ordered if e.dataset.labels.any() and not e.dataset.has_masks]
    if unmasked:
        names = some([e.category for e in unmasked], 6)
        yield f"{names}: without masks, nothing is said about localisation."


def _sources(draws: int) -> str:
    """What the intervals of the controls are over."""
    if draws > 1:
        return (
            f"Intervals of differences are over test images and {draws} draws of the normal images "
            "(and one more random set of a control); another category is in none of them."
        )
    return (
        "Intervals are over test images (and one more random set of a control). They do not "
        "include the spread between draws of the normal images: that takes a run with --draws."
    )


def _fewest(evaluation: Any) -> int:
    labels = evaluation.dataset.labels
    return int(min((labels == 0).sum(), (labels == 1).sum()))
