"""The paper's claims as hypotheses, judged by rules that were fixed before any data were seen."""

from typing import TYPE_CHECKING

from lakeviz.lazy import lazy_face
from lakeviz.studies.base.study import LazyStudy

if TYPE_CHECKING:
    from lakeviz.studies.claims.case import Case as Case
    from lakeviz.studies.claims.claim import Claim as Claim
    from lakeviz.studies.claims.claim import Part as Part
    from lakeviz.studies.claims.result import ClaimSettings as ClaimSettings
    from lakeviz.studies.claims.result import ClaimsResult as ClaimsResult
    from lakeviz.studies.claims.study import CLAIMS as CLAIMS

judge_claims = LazyStudy(__name__, on_runs=False)

__getattr__, __dir__, __all__ = lazy_face(__name__, "judge_claims")
