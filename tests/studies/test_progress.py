"""Progress of studies: what is expected is what is measured, and the time left follows from it."""

from __future__ import annotations

from typing import Any

import pytest

from lakeviz.metrics import Bootstrap
from lakeviz.progress import Progress, duration, expect, step
from lakeviz.studies import get_study

FEW = {"n_random_sets": 3}
QUICK = Bootstrap(n_resamples=10)


class Counted(Progress):
    """Remembers what was expected and what was measured of its one part."""

    def of(self, measure):
        for _ in self:
            measure()
        return self._expected, self.made


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("knockout", {**FEW, "sizes": (2, 3), "modes": ("remove", "keep")}),
        ("pca", {**FEW, "sizes": (2, 4)}),
        ("contamination", {"n_repeats": 2, "shots": 4, "fractions": (0.0, 0.25)}),
        ("neurons", {"crops": False}),
        ("dossier", {"network_neurons": 0, "crops": False}),
        ("hosts", FEW),
        ("probes", {**FEW, "sizes": (1, 2, 500), "n_folds": 2}),
    ],
)
def test_conditions_that_are_expected_are_those_that_are_measured(world, name, settings):
    data = world({"k": 4}, n_fit=6)
    study: Any = get_study(name)
    given = ("patch_nn", data) if name == "hosts" else (data,)
    expected, made = Counted(name, ["wood"]).of(lambda: study(*given, bootstrap=QUICK, **settings))
    assert expected == pytest.approx(made, rel=0.1)


def test_readings_expect_what_they_measure(world):
    data = world({"k": 4})
    expected, made = Counted("readings", ["wood"]).of(
        lambda: get_study("readings")(data, bootstrap=QUICK, n_random_sets=2, depths=["0"])
    )
    assert 0.5 < expected / made < 2


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("decompose", {"n_random_sets": 2}),
        ("patching", {"n_random_sets": 2, "n_pairs": 3, "n_checked": 3, "integrated_steps": 1}),
        ("patching", {"n_random_sets": 2, "n_pairs": 3, "kinds": ("head",), "receivers": ("2.0",)}),
        ("patching", {"n_random_sets": 2, "n_pairs": 3, "units": ("rotated",), "greedy": 0}),
    ],
)
def test_images_and_exchanges_that_are_expected_are_those_made(
    captured, tiny_model, name, settings
):
    data = captured(tiny_model("clip"), [1], text_weight=None)
    expected, made = Counted(name, ["tile"]).of(
        lambda: get_study(name)(data, bootstrap=QUICK, **settings)
    )
    assert expected == made > 0


def lines_of(costs, *, n_conditions=None, seconds=1.0):
    """What is said while each part measures conditions that take a second."""
    said, now = [], [0.0]
    progress = Progress("pca", list(costs), said.append, bar=False, clock=lambda: now[0])
    totals = []
    for part in progress:
        if n_conditions:
            expect(n_conditions, 2)
        for _ in range(costs[part]):
            now[0] += seconds
            step()
        totals.append(progress.total)
    return said, totals


def test_cost_is_said_beforehand_and_time_after_the_first_conditions():
    said, totals = lines_of({"wood": 10, "tile": 10, "gear": 10}, n_conditions=5)
    assert said == [
        "wood (1 of 3) ...",
        "pca: 3 categories x 2 draws x 5 conditions",
        "tile (2 of 3), about 20 s left ...",
        "pca: about 14 s left, by the first 16",
        "gear (3 of 3), about 10 s left ...",
    ]
    assert totals == [30, 30, 30]


def test_without_a_count_the_first_part_gives_the_total_and_parts_read_back_do_not_count():
    said, totals = lines_of({"done": 0, "wood": 60, "tile": 60}, seconds=60.0)
    assert totals == [None, None, 120]
    assert said[-1] == "tile (3 of 3), about 60 min left ..."


def test_outside_a_study_nothing_is_counted():
    step()
    expect(3)
    assert duration(89) == "89 s"
    assert duration(90 * 60) == "2 h"


def test_bar_is_drawn_on_a_terminal_only(capsys):
    for _ in Progress("pca", ["wood"]):
        step()
    assert capsys.readouterr().err == ""


def test_many_conditions_are_enough_after_a_moment():
    said, _ = lines_of({"wood": 60}, n_conditions=30, seconds=0.2)
    assert said[1:] == ["pca: 2 draws x 30 conditions", "pca: about 7 s left, by the first 25"]


def test_of_other_kinds_nothing_is_counted():
    said = []
    progress = Progress("overlap", ["wood"], said.append)
    for _ in progress:
        expect(8, of="images")
        step(3, "images")
        step(5)
    assert (progress.made, said) == (3, ["wood ...", "overlap: 8 images"])
