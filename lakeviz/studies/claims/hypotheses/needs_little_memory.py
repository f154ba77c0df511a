"""Claim 10: what a fitted detector keeps is small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import Claim, Part
from lakeviz.studies.claims.effects import Effect, Pooled, pool
from lakeviz.studies.claims.rules import Superiority

_PART = "saved"


def _bytes(case: Case) -> tuple[int, int]:
    own, everything = (
        case.data.branches(case.select(selector))[0].gallery_bytes
        for selector in ("variance", "all")
    )
    return own, everything


def measure(cases: Sequence[Case]) -> Mapping[str, Pooled]:
    """Share of the memory of all channels that the selection saves; exact."""
    sizes = {case.data.category: _bytes(case) for case in cases}
    kept = sum(own for own, _ in sizes.values()) / len(sizes) / 2**20
    note = f"a gallery of the selected neurons takes {kept:.2f} MiB per category"
    rows = {category: Effect(1 - own / of_all) for category, (own, of_all) in sizes.items()}
    return {_PART: pool(rows, note=lambda level: note)}


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
