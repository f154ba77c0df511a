"""``compare_host``: a host alone, with LAKE's neurons, and with controls of the same size."""

from lakeviz.plugins.compare.result import HostResult
from lakeviz.plugins.compare.study import compare_host

__all__ = ["HostResult", "compare_host"]
