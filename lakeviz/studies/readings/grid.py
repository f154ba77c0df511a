"""The grid of readings: what the paper leaves open, each combination a detector."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lakeviz.lake.options import LakeOptions, Normalisation

CENTRED = "centred cosine"
COMPARISONS: tuple[str, ...] = ("cosine", CENTRED, "euclidean")
_RESIDUAL = ".hook_resid_post"


@dataclass(frozen=True)
class Reading:
    """One way to read the method: what is compared at the hook points whose maps are averaged.

    ``comparison`` is one of :data:`COMPARISONS`, ``reference`` ``"gallery"`` or ``"prototype"``,
    ``scope`` ``"layer"`` or ``"joint"``. ``k`` neurons per hook point; of joint selection as many
    in total.
    """

    points: tuple[str, ...]
    comparison: str
    reference: str
    normalisation: str
    scope: str
    k: int

    @property
    def total(self) -> int:
        """Neurons of all hook points together."""
        return self.k * len(self.points)

    @property
    def asked(self) -> int:
        """Neurons as :func:`~lakeviz.lake.joint_selection.select_points` takes them."""
        return self.total if self.scope == "joint" else self.k

    @property
    def layers(self) -> str:
        """Short name of the hook points, such as ``5+6``."""
        return "+".join(
            point.removeprefix("blocks.").removesuffix(_RESIDUAL) for point in self.points
        )

    @property
    def name(self) -> str:
        """The reading in words."""
        normalised = "" if self.normalisation == "none" else f" after {self.normalisation}"
        number = f"{self.total} in total" if self.scope == "joint" else f"{self.k} per layer"
        return f"layer {self.layers}, {self.comparison}{normalised}, {self.reference}, {number}"

    def options(self, base: LakeOptions) -> LakeOptions:
        """Settings of the detector under this reading.

        Raises
        ------
        ConfigError
            If the combination is not defined.
        """
        alone = {"neighbours": 1, "coreset": 1.0} if self.reference == "prototype" else {}
        visual = replace(
            base.visual,
            distance="cosine" if self.comparison == CENTRED else self.comparison,
            center=self.comparison == CENTRED,
            normalisation=Normalisation(self.normalisation, base.visual.normalisation.stage),
            reference=self.reference,
            **alone,
        )
        return replace(base, visual=visual, selection_scope=self.scope, k=self.asked)

    def columns(self) -> dict[str, Any]:
        """Columns of a tidy table."""
        return {
            "reading": self.name,
            "layers": self.layers,
            "comparison": self.comparison,
            "reference": self.reference,
            "normalisation": self.normalisation,
            "scope": self.scope,
            "k": self.asked,
        }


def grid(
    depths: Sequence[tuple[str, ...]],
    comparisons: Sequence[str],
    references: Sequence[str],
    normalisations: Sequence[str],
    scopes: Sequence[str],
    sizes: Sequence[int],
) -> Iterator[Reading]:
    """Yield every combination; joint selection only where there are several hook points."""
    for points in depths:
        for k in sizes:
            for scope in scopes:
                if scope == "joint" and len(points) == 1:
                    continue
                for comparison in comparisons:
                    for reference in references:
                        for kind in normalisations:
                            yield Reading(points, comparison, reference, kind, scope, k)
