"""One self-contained HTML file about a run: it opens offline and asks the network for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face

if TYPE_CHECKING:
    from lakeviz.report.build import SECTIONS as SECTIONS
    from lakeviz.report.build import write_report as write_report
    from lakeviz.report.page_model import Page as Page
    from lakeviz.report.page_model import Section as Section
    from lakeviz.report.run_report import write_run_report as write_run_report

__getattr__, __dir__, __all__ = lazy_face(__name__)
