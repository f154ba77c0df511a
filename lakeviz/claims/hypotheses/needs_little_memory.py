"""Claim 10: what a fitted detector keeps is small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeviz.claims.case import Case
from lakeviz.claims.claim import Claim, Part, by_category
from lakeviz.claims.effects import Effect, Pooled
from lakeviz.claims.rules import Superiority

_PART = "saved"


def _bytes(case: Case) -> tuple[int, int]:
    own, everything = (
        case.data.branches(case.select(selector))[0].gallery_bytes
        for selector in ("variance", "all")
    )
    return own, everything


def _measure(case: Case) -> Mapping[str, Effect]:
    own, everything = _bytes(case)
    return {_PART: Effect(1 - own / everything)}


def measure(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Share of the memory of all channels that the selection saves; exact."""
    found = by_category(cases, _measure)[_PART]
    kept = sum(_bytes(case)[0] for case in cases) / len(cases) / 2**20
    note = f"a gallery of the selected neurons takes {kept:.2f} MiB per category"
    return {_PART: Pooled(found.at, found.over, found.rows, found.reason, lambda level: note)}


CLAIM = Claim(
    10,
    "needs_little_memory",
    "The memory of the selected neurons is less than half of that of all channels.",
    (
        Part(
            _PART,
            "share of the memory that is saved",
            "the same detector with all channels",
            Superiority(0.5),
            "share of bytes",
        ),
    ),
    measure,
)
