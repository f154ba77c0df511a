"""The section with pictures beside renderings of depth."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lakeviz.data.table import DEPTH_COLUMN, DEPTH_NORMALS
from lakeviz.report.page_model import Page
from lakeviz.report.sections.categories import depth

POINT = "visual/blocks.1.hook_resid_post"


def with_depth(evaluation, tmp_path):
    frame, paths = evaluation.dataset.frame, []
    for number in range(len(frame)):
        paths.append(str(tmp_path / f"{number}_d.png"))
        ramp = np.arange(1, 24 * 32 + 1, dtype=np.uint16).reshape(24, 32)
        Image.fromarray(ramp).save(paths[-1])
    frame[DEPTH_COLUMN], frame[DEPTH_NORMALS] = paths, [()] * len(paths)
    patch = evaluation.maps.patch
    for name, factor in ((POINT, 1), (f"{POINT}@depth", 2), ("visual/blocks.2.x@depth", 4)):
        evaluation.maps.parts[name] = factor * patch
    return evaluation


def test_maps_of_a_stream_are_means_over_its_points(make, tmp_path):
    evaluation = with_depth(make(), tmp_path)
    streams = evaluation.maps.streams
    assert list(streams) == ["image", "depth"]
    np.testing.assert_allclose(streams["depth"], 3 * evaluation.maps.patch)


def test_a_row_has_the_picture_and_every_stream_under_its_own_map(make, tmp_path):
    evaluation = with_depth(make(), tmp_path)
    (section,) = depth(Page([evaluation], {}, []))
    assert section.title == "Streams: nut"
    (row,) = section.context["rows"]  # one kind of defect
    assert row["name"] == "4.png"  # the middle score of the three
    assert [tile.name for tile in row["tiles"]] == ["picture", "image", "depth"]
    picture, image, rendering = row["tiles"]
    assert picture.photo == image.photo != rendering.photo
    assert not picture.heat
    assert image.heat
    assert picture.outline
    assert [c[0] for c in section.context["colours"]] == ["image", "depth"]


def test_a_missing_depth_map_is_said_and_there_is_no_section_without_streams(make, tmp_path):
    evaluation = with_depth(make(), tmp_path)
    (tmp_path / "4_d.png").unlink()
    (section,) = depth(Page([evaluation], {}, []))
    assert "4_d.png does not exist" in section.context["rows"][0]["problem"]
    assert depth(Page([make()], {}, [])) == []
