"""One self-contained HTML file about a run: it opens offline and asks the network for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.report.build import SECTIONS, write_report
    from lakeviz.report.page_model import Page, Section
    from lakeviz.report.run_report import write_run_report

__all__ = ["SECTIONS", "Page", "Section", "write_report", "write_run_report"]

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "Page": "page_model",
        "SECTIONS": "build",
        "Section": "page_model",
        "write_report": "build",
        "write_run_report": "run_report",
    },
)
