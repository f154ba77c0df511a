"""Settings and result of the study ``patching``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import pandas as pd

from lakeviz.errors import ConfigError, SelectionError
from lakeviz.lake.selectors import expand_selectors, get_selector
from lakeviz.selector_names import selector_name
from lakeviz.studies.base.findings import Finding, finding
from lakeviz.studies.base.result import Figures, StudyResult
from lakeviz.studies.base.settings import DrawSettings, option
from lakeviz.studies.patching.words import (
    CONTROL,
    DEFECT,
    DIRECTIONS,
    EVERY,
    GROUPS,
    KINDS,
    NEURONS,
    OF_PAIRS,
    SCALE,
    STEERS,
    TWIN_DIFFERENCE,
    TWINS,
    UNTRAINED,
    named,
    units_name,
)
from lakeviz.tables import is_measured, records


@dataclass(frozen=True)
class Settings(DrawSettings):
    """Exchange activations between defect images and twins.

    A twin is the image without its defect. Denoising puts the twin's values into the defect image
    and asks how much of the score goes; noising puts the defect's into the twin and asks how much
    comes. Twins are rendered where the images are those of the synthetic benchmark. Elsewhere the
    masked region is filled from a normal image, which is approximate; as is "nearest", normal
    patches of the nearest tokens in place of the defect's, which needs no masks.
    """

    twins: str = option("auto", "Twins of the defect images.", choices=TWINS)
    n_pairs: int = option(40, "Pairs, at most.", least=3, flag="--pairs")
    directions: tuple[str, ...] = option(
        DIRECTIONS, "Which side is changed.", choices=DIRECTIONS, flag="--direction"
    )
    selector: str = option(
        "variance", "The units in question; neurons:POINT=3,17,40 names them.", flag="--selector"
    )
    controls: tuple[str, ...] = option(
        (
            *(CONTROL, "bottom_variance", "variance_without_first", "random_rotation", "pca"),
            *(TWIN_DIFFERENCE, "all"),
        ),
        "Other units of the same number at the same hook point; twin_difference takes those that "
        "differ most on the other half of the pairs.",
        flag="--control",
    )
    units: tuple[str, ...] = option(
        (),
        "Other units exchanged at the same hook point, as many and chosen alike: rotated, pca, or "
        "the folder of a sparse autoencoder.",
        flag="--units",
    )
    n_random_sets: int = option(10, "Random sets of each random control.", least=2)
    point: str | None = option(
        None, "Hook point of the units; the first that the detector reads by default."
    )
    tokens: str = option(
        EVERY, "Tokens in which units are exchanged.", choices=GROUPS, flag="--tokens"
    )
    class_logit: bool = option(
        False,
        "Read the class head of a timm classifier too: the logit of the class that the defects "
        "raise most. The whole tower runs for it.",
    )
    heatmap: bool = option(True, "Exchange whole tokens too, block by block and group by group.")
    kinds: tuple[str, ...] = option(
        ("resid_post",),
        "Hook points of the heat map; head: each attention head.",
        choices=KINDS,
        flag="--kind",
    )
    receivers: tuple[str, ...] = option(
        (),
        "Path patching: heads (7.2 is head 2 of block 7) and MLPs (7.mlp) through which alone the "
        "units may act.",
        flag="--receiver",
    )
    curves: bool = option(
        True, "Faithfulness, completeness and minimality by the number of units, with their areas."
    )
    greedy: int = option(
        4,
        "Units chosen one by one for what they move, as a bound of the curves: on the other half "
        "of the pairs, and on the same ones; 0 leaves it out.",
        least=0,
        most=64,
        flag="--greedy",
    )
    untrained: bool = option(True, "Curves of an untrained tower too, as a floor.")
    attribution: bool = option(
        True, "Attribute the score of the defect patches to single neurons, checked by exchanges."
    )
    n_checked: int = option(
        12,
        "Neurons per hook point whose attribution is checked exactly.",
        least=3,
        flag="--checked",
    )
    integrated_steps: int = option(8, "Steps of integrated gradients.", least=1, flag="--steps")
    steer: str = option(
        SCALE,
        "Steering: scale deviations of the units from the normal mean by 1 plus the dose, or add "
        "as many standard deviations.",
        choices=STEERS,
    )
    doses: tuple[float, ...] = option(
        (-1.0, -0.5, 0.5, 1.0, 2.0), "Doses of steering; none leaves it out.", flag="--dose"
    )
    draws: int | None = option(
        None, "Draws of RUN's normal images that are measured; all by default.", least=1
    )

    def check(self) -> None:
        """Refuse controls that are no selectors, or are the units in question."""
        if not self.directions:
            raise ConfigError("directions is empty; name denoising, noising or both")
        get_selector(self.selector)
        for name in self.controls:
            if name == self.selector:
                raise SelectionError(f"{name} is in question, and no control of itself")
            if name not in OF_PAIRS:
                expand_selectors([name])


@dataclass
class PatchingResult(StudyResult):
    """Interventions on pairs; shares are of the difference between defect image and twin.

    Attributes
    ----------
    effects : DataFrame
        Units exchanged at one hook point, per category, direction, ``basis`` (what units are:
        neurons, or those of the setting ``units``), units and read-out: ``share``
        of the full difference that is moved, with its interval over pairs and draws, the
        ``difference`` of the units in question to these (``low`` and ``high`` are of one more
        random set where the control is random) and ``p_value`` among random sets.
    heatmap : DataFrame
        Whole tokens exchanged, or what one ``head`` gives them (-1: no head), per category,
        direction, hook point, group of tokens and read-out: ``share`` with its interval, or the
        ``reason`` why a read-out cannot be reached.
    attribution : DataFrame
        Every neuron of every hook point: ``gradient`` (gradient times difference, summed over the
        defect patches, mean over pairs) and ``integrated`` at the hook point of the units, as
        shares of the full difference.
    checks, agreement : DataFrame
        Some neurons beside their ``exact`` exchange, all means over the same few pairs; and per
        hook point the correlation and the largest error of the attributions.
    curves, areas : DataFrame
        Faithfulness, completeness and minimality of the units by their number, and the areas under
        them with the difference to random units (see :func:`.concentration.curve_rows`). ``basis``
        has ``untrained tower`` too, the floor; the ceiling, all units, is 1.
    concentration : DataFrame
        Per hook point: Gini coefficient and participation ratio of the attributions.
    steering : DataFrame
        Per units, dose and read-out: ``change`` as a share of the full difference, with its
        interval, and the difference to edits of the same length in random units.
    paths : DataFrame
        Path patching, per direction, ``receiver``, units and read-out: ``share`` that moves when
        the change of the units reaches this head or MLP alone, and the ``difference`` to random
        units. The read-out ``image embedding`` is how far the embedding goes from one side to the
        other.
    overlap : DataFrame
        Neurons shared by the sets that variance, a probe, the difference within pairs and
        attribution choose, two by two: ``shared``, what chance gives (``expected``), ``excess`` (0
        by chance, 1 for equal sets) and the hypergeometric ``p_value``.
    pairs : DataFrame
        Each pair: read-outs of both sides, means over draws.
    """

    name: ClassVar[str] = "patching"
    title: ClassVar[str] = "Interventions on pairs"

    effects: pd.DataFrame
    heatmap: pd.DataFrame
    attribution: pd.DataFrame
    checks: pd.DataFrame
    agreement: pd.DataFrame
    curves: pd.DataFrame
    areas: pd.DataFrame
    concentration: pd.DataFrame
    steering: pd.DataFrame
    pairs: pd.DataFrame
    paths: pd.DataFrame
    overlap: pd.DataFrame

    def __post_init__(self) -> None:
        # Results of earlier versions are of neurons, and scaled.
        for name, column, value in (
            *((table, "basis", NEURONS) for table in ("effects", "curves", "areas", "steering")),
            ("steering", "steer", SCALE),
        ):
            table = getattr(self, name)
            if column not in table:
                setattr(self, name, table.assign(**{column: value}))

    @property
    def selector(self) -> str:
        """Selector of the units in question."""
        return str(self.settings["selector"])

    def findings(self) -> Iterator[Finding]:
        """Yield what the units in question move of the defect patches' score, against controls."""
        for direction in dict.fromkeys(self.effects["direction"]):
            own = {"direction": direction, "readout": DEFECT}
            kinds = self.effects[["basis", "units"]].drop_duplicates()
            for basis, control in kinds.itertuples(index=False):
                rows = records(self.effects, **own, basis=basis, units=control)
                if (basis, control) == (NEURONS, self.selector):
                    continue
                found = finding(
                    [row | {"n_images": row["n_pairs"]} for row in rows],
                    f"share moved by {direction}",
                    selector_name(self.selector),
                    control=named(basis, control),
                    value=None,
                    confidence=self.confidence,
                )
                yield replace(found, over="pairs") if len(rows) == 1 else found

    def summary(self) -> str:
        """What part of the effect the units carry, and whether random ones carry as much."""
        said = []
        for direction in dict.fromkeys(self.effects["direction"]):
            own = {"direction": direction, "readout": DEFECT, "basis": NEURONS}
            rows = records(self.effects, **own, units=self.selector)
            shares = [row["share"] for row in rows if row["share"] == row["share"]]
            if shares:
                mean = sum(shares) / len(shares)
                size = f"{rows[0]['n_units']} of {rows[0]['n_channels']}"
                said.append(
                    f"{direction.capitalize()} by {selector_name(self.selector)} ({size}) moves "
                    f"{100 * mean:.0f} % of the difference in the score of the defect patches."
                )
        against = [one for one in self.findings() if one.control == units_name(CONTROL)]
        return " ".join([*said, *(one.sentence() for one in against)])

    def figures(self) -> Figures:
        """Heat maps, units against controls, paths, curves, attribution and steering."""
        from lakeviz.studies.patching import figures as draw

        made = [
            figure(self.heatmap, direction=direction)
            for figure, of_heads in ((draw.heatmap_figure, False), (draw.heads_figure, True))
            for direction in draw.directions_of(self.heatmap, of_heads=of_heads)
        ]
        made.append(draw.effects_figure(self.effects, self.selector, confidence=self.confidence))
        if is_measured(self.paths, "share"):
            made.append(draw.paths_figure(self.paths, confidence=self.confidence))
        if len(self.curves):
            made.append(draw.curves_figure(self.curves, confidence=self.confidence))
            if len(set(self.curves["basis"]) - {UNTRAINED}) > 1:
                made.append(draw.bases_figure(self.curves, confidence=self.confidence))
        if len(self.agreement):
            made.append(draw.attribution_figure(self.checks))
        if len(self.steering):
            made.append(draw.steering_figure(self.steering, confidence=self.confidence))
        return made


Result = PatchingResult
