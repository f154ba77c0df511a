"""``compare_host``: a host alone, with LAKE's neurons, and with controls of the same size."""

from lakeviz.studies.hosts.result import HostResult
from lakeviz.studies.hosts.study import compare_host

__all__ = ["HostResult", "compare_host"]
