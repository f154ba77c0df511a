"""One self-contained HTML file about a run: it opens offline and asks the network for nothing."""

import lakeviz.lake.selectors  # noqa: F401  (registers the names of selectors)
from lakeviz.report.build import SECTIONS, write_report
from lakeviz.report.page_model import Page, Section
from lakeviz.report.run_report import write_run_report

__all__ = ["SECTIONS", "Page", "Section", "write_report", "write_run_report"]
