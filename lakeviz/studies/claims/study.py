"""``judge_claims``: every claim on the same data, with verdicts by rules that were fixed before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lakeviz.errors import ConfigError
from lakeviz.metrics.estimates import Estimate
from lakeviz.progress import Progress
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.base.study import OnRun, Study
from lakeviz.studies.claims import claims_on_causes as causes
from lakeviz.studies.claims import claims_on_detection as detection
from lakeviz.studies.claims import claims_on_neurons as neurons
from lakeviz.studies.claims import claims_on_use as use
from lakeviz.studies.claims.case import Case
from lakeviz.studies.claims.claim import CAUSES, PAPER, Claim, Part
from lakeviz.studies.claims.effects import Pooled
from lakeviz.studies.claims.power import assumed, power
from lakeviz.studies.claims.result import ClaimSettings, ClaimsResult
from lakeviz.studies.claims.rules import NOT_MEASURED, corrected_confidence, joint_verdict
from lakeviz.studies.hosts.detectors.protocol import name_of
from lakeviz.studies.hosts.detectors.registry import get_host

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

CLAIMS: tuple[Claim, ...] = (
    detection.BEATS_RANDOM,
    detection.SPARSE_SUFFICES,
    neurons.EQUALS_PCA,
    neurons.OVERLAPS,
    neurons.KNOCKOUT_HURTS,
    detection.MAX_BEATS_MEAN,
    detection.TEXT_HELPS,
    use.WITHSTANDS_CONTAMINATION,
    use.PLUGS_INTO_HOSTS,
    use.NEEDS_LITTLE_MEMORY,
    detection.COMES_FROM_TRAINING,
    detection.CONCENTRATED,
    causes.CAUSES_SCORE,
    causes.EFFECT_CONCENTRATED,
    causes.BASIS_PRIVILEGED,
)
"""In the order of their numbers."""


def n_parts(family: str = PAPER) -> int:
    """Effects of a family of claims, for which its intervals are corrected.

    The same whatever can be measured.
    """
    return sum(len(claim.parts) for claim in CLAIMS if claim.family == family)


N_PARTS = n_parts()
"""Effects of the claims of the paper."""
_POOL = 24  # normal images that contaminated fits are drawn from, where there are as many


class ClaimsStudy(Study):
    """Judges all categories together, at the run's hook points and at single blocks."""

    def __call__(self, cases: Sequence[Case]) -> ClaimsResult:  # type: ignore[override]
        """Test the claims on one or more categories, at the hook points that were captured.

        Parameters
        ----------
        cases : sequence of Case
            One per category, of one model and of equal settings.

        Raises
        ------
        ConfigError
            If there is no category, one is there twice, or settings or hook points differ.
        MetricError
            If no metric is defined for the test images of a category.
        HostError
            If the host is unknown or not installed.
        """
        return _judge(cases)

    def measure_runs(self, on: OnRun, settings: Any) -> ClaimsResult:
        """Judge every category at the run's own hook points, then at single blocks."""
        check_host(settings)
        return ClaimsResult.join([_judge(cases, on.announce) for cases in _cases(on, settings)])


# Claims have one metric instead of several, and so not the settings of every other study.
STUDY = ClaimsStudy(ClaimSettings, ClaimsResult)  # type: ignore[arg-type]


def _cases(on: OnRun, settings: ClaimSettings) -> Iterator[list[Case]]:
    run, depth = on.run, settings.depth

    def case(category: str, blocks: range | None) -> Case:
        points = None if blocks is None else list(blocks)
        available = len(run.dataset.category(category).split("train").normal())
        pool = run.data(category, shots=min(_POOL, available), points=points)
        first, *further = run.draws_of(category, points=points)

        def untrained() -> Iterator[list[StudyData]]:
            for seed in range(settings.n_untrained):
                model = towers.get(seed) or towers.setdefault(seed, run.model.untrained(seed))
                yield run.draws_of(category, points=points, model=model)

        return Case(first, settings, pool, further, untrained)

    towers: dict[int, VisionModel] = {}
    yield [case(category, None) for category in on.each_category("capture")]
    if depth is None:
        return
    blocks = range(depth - 1, run.model.n_blocks, depth)
    if not blocks:
        raise ConfigError(f"--depth {depth} names no block: there are {run.model.n_blocks}")
    deep = [case(category, blocks) for category in on.each_category("capture")]
    for number in range(len(blocks)):
        yield [one.at(one.data.points[number]) for one in deep]


def check_host(settings: ClaimSettings) -> None:
    """An unknown host, or one that is not installed, is told before anything is measured."""
    if settings.host is not None:
        get_host(settings.host)


def _judge(cases: Sequence[Case], announce: Callable[[str], None] | None = None) -> ClaimsResult:
    _check(cases)
    check_host(cases[0].settings)
    for case in cases:
        case.evaluator.require_some()
    first = cases[0]
    confidences = {
        family: corrected_confidence(first.settings.confidence, n_parts(family))
        for family in (PAPER, CAUSES)
    }
    verdicts, parts, effects = [], [], []
    names = [f"claim {claim.number}, {claim.name}" for claim in CLAIMS]
    for _, claim in zip(Progress("claims", names, announce), CLAIMS, strict=True):
        found, confidence = claim.measure(cases), confidences[claim.family]
        judged = [
            _part_row(claim, part, found[part.name], cases, confidence) for part in claim.parts
        ]
        parts += judged
        verdicts.append(_verdict_row(claim, found, judged, confidence))
        for part in claim.parts:
            effects += _effect_rows(claim, part, found[part.name], cases)
    tables = {"verdicts": verdicts, "parts": parts, "effects": effects}
    points = ", ".join(first.data.points)
    made = {name: pd.DataFrame(rows) for name, rows in tables.items()}
    for name, table in made.items():
        table.insert(1 if name == "effects" else 0, "points", points)
    return ClaimsResult(**made, provenance=_describe(cases, confidences), notes=_notes(cases))


def _check(cases: Sequence[Case]) -> None:
    if not cases:
        raise ConfigError("claims need at least one category")
    names = [case.data.category for case in cases]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"the category {name} was given twice")
    first = cases[0]
    for case in cases[1:]:
        if case.settings != first.settings:
            raise ConfigError(f"{case.data.category} has other settings than {names[0]}")
        if case.data.points != first.data.points or case.k != first.k:
            raise ConfigError(
                f"{case.data.category} was captured at other hook points or with another k than "
                f"{names[0]}"
            )


def _part_row(
    claim: Claim, part: Part, found: Pooled, cases: Sequence[Case], confidence: float
) -> dict[str, Any]:
    settings = cases[0].settings
    corrected = found.at(confidence)
    effects = list(found.measured.values())
    return {
        "claim": claim.number,
        "name": claim.name,
        "part": part.name,
        "effect": part.effect,
        "control": part.control,
        "estimand": part.estimand,
        "unit": part.unit or " ".join(settings.metric),
        **found.at(settings.confidence).columns(),
        "corrected_low": corrected.low,
        "corrected_high": corrected.high,
        "corrected_confidence": confidence,
        "p_value": found.p_value(confidence),
        "rule": part.rule.name,
        "smallest_effect": part.rule.smallest_effect,
        "verdict": part.judge(found, confidence),
        "power": power(part, found, settings.metric, confidence),
        "power_for": assumed(part, settings.metric).said,
        "interval_over": found.over,
        "n_categories": len(effects),
        "n_images": sum(_n_images(case, found) for case in cases),
        "n_draws": max((e.n_draws for e in effects), default=0),
        "n_random_sets": max((e.n_random_sets for e in effects), default=0),
        "reason": found.reason,
    }


def _n_images(case: Case, found: Pooled) -> int:
    effect = found.measured.get(case.data.category)
    if effect is None:
        return 0
    return effect.n_images or case.evaluator.n_images


def _verdict_row(
    claim: Claim,
    found: dict[str, Pooled] | Any,
    judged: Sequence[dict[str, Any]],
    confidence: float,
) -> dict[str, Any]:
    notes = [pooled.note(confidence) for pooled in found.values() if pooled.note is not None]
    reasons = dict.fromkeys(row["reason"] for row in judged if row["reason"])
    return {
        "claim": claim.number,
        "name": claim.name,
        "statement": claim.statement,
        "verdict": joint_verdict(
            [
                row["verdict"]
                for part, row in zip(claim.parts, judged, strict=True)
                if not (part.is_optional and row["verdict"] == NOT_MEASURED)
            ]
        ),
        "finding": "; ".join([*(_said(row) for row in judged if not row["reason"]), *notes]),
        "n_categories": max(row["n_categories"] for row in judged),
        "reason": "; ".join(reasons),
    }


def _said(row: dict[str, Any]) -> str:
    found = Estimate(row["value"], row["corrected_low"], row["corrected_high"])
    said = f"{row['effect']}: {found.text(signed=True)}"
    if np.isfinite(row["p_value"]):
        said += f", p = {row['p_value']:.2g} against one more member"
    if np.isfinite(row["power"]):
        said += f"; power {100 * row['power']:.0f} % for {row['power_for']}"
    return said


def _effect_rows(
    claim: Claim, part: Part, found: Pooled, cases: Sequence[Case]
) -> list[dict[str, Any]]:
    confidence = cases[0].settings.confidence
    return [
        {
            "category": case.data.category,
            "claim": claim.number,
            "name": claim.name,
            "part": part.name,
            **effect.at(confidence).columns(),
            "n_images": _n_images(case, found),
            "n_draws": effect.n_draws,
            "n_random_sets": effect.n_random_sets,
            "reason": effect.reason,
        }
        for case in cases
        if (effect := found.rows.get(case.data.category)) is not None
    ]


def described_rules() -> dict[str, str]:
    """Every rule in words, by number of the claim and name of the part."""
    return {
        f"{claim.number} {part.name}": part.describe() for claim in CLAIMS for part in claim.parts
    }


def plain_settings(settings: ClaimSettings) -> dict[str, Any]:
    """Settings as JSON holds them; a host that is an object by its name."""
    host = settings.host
    named = host if host is None or isinstance(host, str) else name_of(host)
    return {**settings.to_plain(), "host": named}


def _describe(cases: Sequence[Case], confidences: Mapping[str, float]) -> dict[str, Any]:
    first = cases[0]
    shown = plain_settings(first.settings) | {
        "k": first.k,
        "corrected_confidence": confidences[PAPER],
        "corrected_confidence_causes": confidences[CAUSES],
        "rules": described_rules(),
    }
    described = [case.data.describe(ClaimsResult.name, shown, case.evaluator) for case in cases]
    categories = {c: made for one in described for c, made in one["categories"].items()}
    for case in cases:
        categories[case.data.category]["n_draws"] = len(case.draws)
    return {**described[0], "categories": categories}


def _notes(cases: Sequence[Case]) -> list[str]:
    return [note for case in cases for note in case.data.absences(case.evaluator)]
