"""Hosts come from other libraries, which need not be installed; this says how to get them."""

from __future__ import annotations

from importlib.util import find_spec

from lakeviz.errors import HostError

_LIBRARIES = {"anomalib": "anomalib", "sklearn": "scikit-learn"}


def require(module: str, extra: str, host: str) -> None:
    """Refuse a host whose library is missing.

    Raises
    ------
    HostError
        Says which extra brings it.
    """
    if find_spec(module) is None:
        raise HostError(
            f"the host {host!r} is {_LIBRARIES[module]}'s, which is not installed: "
            f'pip install "lakeviz[{extra}]"'
        )
