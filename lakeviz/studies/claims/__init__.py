"""The paper's claims as hypotheses, judged by rules that were fixed before any data were seen."""

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.claims.case import Case
    from lakeviz.studies.claims.claim import Claim, Part
    from lakeviz.studies.claims.result import ClaimSettings, ClaimsResult
    from lakeviz.studies.claims.study import CLAIMS

__all__ = ["CLAIMS", "Case", "Claim", "ClaimSettings", "ClaimsResult", "Part", "judge_claims"]

judge_claims = LazyStudy(__name__, on_runs=False)

__getattr__, __dir__ = lazy_face(
    __name__,
    {
        "CLAIMS": "study",
        "Case": "case",
        "Claim": "claim",
        "ClaimSettings": "result",
        "ClaimsResult": "result",
        "Part": "claim",
    },
)
