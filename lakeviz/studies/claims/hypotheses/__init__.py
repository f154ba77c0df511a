"""The claims of the paper, one file each."""

from lakeviz.studies.claims.claim import Claim
from lakeviz.studies.claims.hypotheses import (
    beats_random,
    equals_pca,
    knockout_hurts,
    max_beats_mean,
    needs_little_memory,
    overlaps,
    plugs_into_hosts,
    sparse_suffices,
    text_helps,
    withstands_contamination,
)

CLAIMS: tuple[Claim, ...] = tuple(
    module.CLAIM
    for module in (
        beats_random,
        sparse_suffices,
        equals_pca,
        overlaps,
        knockout_hurts,
        max_beats_mean,
        text_helps,
        withstands_contamination,
        plugs_into_hosts,
        needs_little_memory,
    )
)
"""In the order of their numbers."""
