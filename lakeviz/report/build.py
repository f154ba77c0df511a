"""Put the page together: sections, styles, scripts, and a policy that forbids any request."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from lakeviz import __version__
from lakeviz.errors import DataError
from lakeviz.files import write_text
from lakeviz.plots.html import PLAYER, theme_templates
from lakeviz.report.page_model import Page, Section, SectionMaker
from lakeviz.report.sections.categories import categories, depth
from lakeviz.report.sections.closing import closing, dataset_name, provenance
from lakeviz.report.sections.controls import controls
from lakeviz.report.sections.glance import glance
from lakeviz.report.sections.neurons import neurons
from lakeviz.report.sections.overview import overview
from lakeviz.report.sections.studies import studies as study_sections
from lakeviz.wording import joined

if TYPE_CHECKING:
    from lakeviz.lake.evaluation import Evaluation
    from lakeviz.studies.base.result import StudyResult

_log = logging.getLogger(__name__)

SECTIONS: tuple[SectionMaker, ...] = (
    glance,
    overview,
    controls,
    neurons,
    categories,
    depth,
    study_sections,
    closing,
    provenance,
)
"""What makes the sections, in the order of the page."""


_NAMED = 3
"""Categories that the title names, where the data have no name of their own."""


def write_report(
    evaluations: Sequence[Evaluation],
    manifest: Mapping[str, Any],
    path: str | Path,
    sections: Sequence[SectionMaker] = SECTIONS,
    *,
    studies: Sequence[StudyResult] = (),
    inputs: str = "",
) -> Path:
    """Write one HTML file that shows a run: offline, self-contained, light and dark.

    Parameters
    ----------
    evaluations : sequence of Evaluation
        One per category.
    manifest : mapping
        As runs write it; of its keys ``dataset``, ``command``, ``model``, ``spec``, ``versions``
        are shown where present. ``groups`` (name to categories) reports categories apart, each
        group with its mean; ``groups_note`` says what they are.
    path : path
        The file to write; it appears whole or not at all.
    sections : sequence of functions, optional
        What makes the sections, in order.
    studies : sequence of StudyResult, optional
        Each gets a section.
    inputs : str
        Digest of what the report is made from; it is written into its head.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DataError
        There is no evaluation.
    OutputError
        The file cannot be written.
    """
    if not evaluations:
        raise DataError("a report needs at least one evaluation")
    page = Page(list(evaluations), manifest, list(studies))
    made = [section for make in sections for section in make(page)]
    text = _render(page, made, inputs)
    path = Path(path)
    write_text(path, text)
    _log.info("report: %s (%.1f MB)", path, path.stat().st_size / 1e6)
    return path


def _render(page: Page, sections: list[Section], inputs: str) -> str:
    script, plotly = PLAYER + _asset("report.js"), get_plotlyjs()
    names = [e.category for e in page.ordered]
    named = page.manifest.get("dataset") or len(names) > _NAMED
    return (
        _environment()
        .get_template("page.html")
        .render(
            title=f"LAKE on {dataset_name(page) if named and len(names) > 1 else joined(names)}",
            page=page,
            sections=sections,
            version=__version__,
            inputs=inputs,
            style=Markup(_asset("report.css")),
            script=Markup(script),
            plotly=Markup(plotly),
            policy=_policy(script, plotly),
            themes=theme_templates(),
        )
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("lakeviz.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _asset(name: str) -> str:
    return (files("lakeviz.report") / "templates" / name).read_text(encoding="utf-8")


def _policy(*scripts: str) -> str:
    """Content security policy: these scripts run and no others, and nothing is fetched."""
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
