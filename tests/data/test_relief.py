"""The synthetic benchmark with depth: what each defect changes, and its files."""

from __future__ import annotations

import numpy as np
import pytest

from lakeviz.data import read_dataset
from lakeviz.data.depth_files import read_depth
from lakeviz.data.synthetic import RELIEF_DEFECTS, render_relief, write_relief_benchmark
from lakeviz.errors import ConfigError


@pytest.mark.parametrize("category", ["wood", "coin", "hex_nut"])
@pytest.mark.parametrize("kind", RELIEF_DEFECTS)
def test_a_defect_changes_what_it_is_said_to_and_only_within_its_mask(category, kind):
    normal = render_relief(category, "test", 7, size=64, seed=2)
    made = render_relief(category, "test", 7, kind, size=64, seed=2)
    colour = (made.image != normal.image).any(axis=-1)
    depth = (made.points != normal.points).any(axis=-1)
    assert colour.any() == ("colour" in RELIEF_DEFECTS[kind])
    assert depth.any() == ("depth" in RELIEF_DEFECTS[kind])
    assert not ((colour | depth) & ~made.mask).any()
    assert made.mask.mean() >= 0.004
    # Points that were not measured cannot differ; all others of the mask do in colour or depth.
    lost = (made.points == 0).all(axis=-1)
    assert (colour | depth | lost)[made.mask].all()
    assert not normal.mask.any()


def test_dents_are_farther_from_the_camera_and_bumps_nearer():
    normal = render_relief("coin", "test", 1, size=64)
    for kind, sign in {"dent": 1, "hole": 1, "bump": -1, "contamination": -1}.items():
        change = render_relief("coin", "test", 1, kind, size=64).points - normal.points
        assert (sign * change[..., 2]).max() > 2
        assert (sign * change[..., 2]).min() >= 0


def test_it_is_written_as_mvtec_3d_and_read_back(tmp_path):
    write_relief_benchmark(
        tmp_path, categories=("coin",), size=32, n_train=2, n_good=1, n_per_defect=1
    )
    data = read_dataset("auto", tmp_path)
    assert data.name == "mvtec_3d"
    assert len(data) == 2 + 1 + len(RELIEF_DEFECTS)
    row = data.frame.loc[data.frame["defect_type"] == "bump"].index[0]
    made = render_relief("coin", "test", 2, "bump", size=32)
    np.testing.assert_array_equal(data[int(row)]["image"], made.image)
    np.testing.assert_array_equal(data.mask(int(row), (32, 32)), made.mask)
    points = read_depth(data.depths[row].path)
    np.testing.assert_array_equal(points.valid, ~(made.points == 0).all(axis=-1))
    np.testing.assert_array_equal(points.values[points.valid], made.points[points.valid])


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match=r"defect type must be .*, not 'bumps'"):
        render_relief("coin", "test", 0, "bumps")
