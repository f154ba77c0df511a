"""Galleries choose by their rule, stay light, and show names as text."""

from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lakeviz.errors import ConfigError
from lakeviz.plots import ColourRange, choose_images, gallery, gallery_figure, save_figure
from lakeviz.plots.gallery import Tile
from lakeviz.plots.print.export import fitted, suiting_width

UNIT = ColourRange(0.0, 1.0, "by hand")
SCORES = pd.DataFrame(
    {
        "sample_id": list("abcdefghijkl"),
        "label": [0] * 6 + [1] * 6,
        "score": [0.1, 0.9, 0.3, 0.5, 0.2, 0.4, 0.95, 0.15, 2.0, 0.8, 1.0, 3.0],
    }
)


def tile(seed: int, size=(60, 40), **more) -> Tile:
    noise = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    given = {"name": str(seed), "score": 0.5} | more
    return Tile(Image.fromarray(noise), np.full((4, 4), 0.5), **given)


def names(chosen: pd.DataFrame) -> dict[str, str]:
    return {g.split(":")[0]: "".join(own["sample_id"]) for g, own in chosen.groupby("group")}


def test_worst_best_and_typical_by_hand():
    chosen = choose_images(SCORES, per_group=2)
    # Medians: 0.35 of the normal images, 0.975 of the anomalous ones; ties to the earlier row.
    assert names(chosen) == {
        "Worst normal": "bd",
        "Worst anomalous": "hj",
        "Typical normal": "cf",
        "Typical anomalous": "gk",
        "Best normal": "ae",
        "Best anomalous": "li",
    }
    assert SCORES["sample_id"].iloc[chosen["position"]].tolist() == chosen["sample_id"].tolist()


def test_no_image_is_chosen_twice():
    for per_group in (1, 2, 9):
        chosen = choose_images(SCORES, per_group)
        assert chosen["position"].is_unique
    few = choose_images(SCORES.iloc[[0, 1, 6]], per_group=5)
    assert names(few) == {"Worst normal": "b", "Worst anomalous": "g", "Typical normal": "a"}


def test_a_class_that_is_not_there_has_no_group_and_nan_is_no_score():
    normal = SCORES.iloc[:6].assign(score=[np.nan, 0.9, 0.3, 0.5, 0.2, 0.4])
    chosen = choose_images(normal, 1)
    assert names(chosen) == {"Worst normal": "b", "Typical normal": "f", "Best normal": "e"}


def test_nothing_to_choose_is_refused():
    for table, n in ((SCORES.iloc[:0], 3), (SCORES, 0)):
        with pytest.raises(ConfigError, match="at least one image"):
            choose_images(table, n)
    with pytest.raises(ConfigError, match="at least one image"):
        gallery_figure([], UNIT)


@pytest.mark.slow
def test_two_hundred_photographs_of_noise_stay_below_10_mb(tmp_path, monkeypatch):
    """Nothing compresses worse than noise, and no outline is longer than that of a noisy mask.

    A tenth of the pictures in a tenth of the room tells for all.
    """
    monkeypatch.setattr(gallery, "_BYTES_OF_ALL", gallery._BYTES_OF_ALL // 10)
    mask = np.random.default_rng(0).random((120, 160)) > 0.5
    tiles = [tile(i, (640, 480), mask=mask, group="all") for i in range(20)]
    size = {}
    for n, shown in ((1, [tile(0)]), (20, tiles)):
        path = save_figure(gallery_figure(shown, UNIT), tmp_path / f"{n}.html", sidecar=False)
        size[n] = path.stat().st_size
    assert size[1] + 10 * (size[20] - size[1]) <= 10e6


def test_small_pictures_are_left_as_they_are():
    source = gallery_figure([tile(0)], UNIT).layout.images[0].source
    made = Image.open(io.BytesIO(base64.b64decode(source.split(",")[1])))
    assert made.size == (60, 40)


def test_pictures_stand_in_rows_of_their_group_in_their_own_shape():
    tiles = [tile(i, group="first: rule") for i in range(7)] + [tile(8, (40, 60), group="second")]
    fig = gallery_figure(tiles, UNIT)
    x = [image.x for image in fig.layout.images]
    y = [image.y for image in fig.layout.images]
    assert x == [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 0.5, 0.5]
    assert len(set(y[:6])) == 1
    assert y[5] < y[6] < y[7]
    assert [i.sizex / i.sizey for i in fig.layout.images] == pytest.approx([1.5] * 7 + [2 / 3])
    # Each group's name stands above its first row, below the texts of the row before.
    first, second = (note for note in fig.layout.annotations if note.x == 0)
    assert [first.text, second.text] == ["first: rule", "second"]
    assert first.y < y[0]
    assert y[6] < second.y < y[7]
    narrow = gallery_figure(tiles, UNIT, columns=3).layout
    assert [image.x for image in narrow.images][:4] == [0.5, 1.5, 2.5, 0.5]
    assert fig.layout.yaxis.scaleanchor == "x"


def test_score_kind_and_verdict_are_told_in_words_and_names_stay_text():
    bad = "<img src=x onerror=alert(1)>"
    right = tile(0, name=bad, score=0.25, kind=bad, group=bad)
    wrong = tile(1, score=0.75, wrong="missed", mask=np.ones((4, 6), dtype=bool))
    fig = gallery_figure([right, wrong], UNIT, threshold=0.8, title=bad)
    first, second, group = fig.layout.annotations
    assert first.text.startswith("0.25<br>&lt;img")
    assert second.text == "0.75 !"
    said = fig.data[0].text
    assert said[1] == "1<br>score 0.75<br>missed"
    html = " ".join([fig.layout.title.text, first.text, *said, group.text])
    assert "<img" not in html
    caption = fig.layout.meta["caption"]
    assert caption.startswith("2 images")
    assert "At the threshold 0.80, 1 of these is wrong (!)." in caption
    assert "Outlines: masks." in caption


@pytest.mark.parametrize(("n", "width"), [(3, "column"), (6, "page")])
def test_a_row_of_many_pictures_needs_the_page(n, width):
    figure = gallery_figure([tile(i) for i in range(n)], UNIT, columns=n)
    assert suiting_width(figure) == width


def test_tall_pictures_that_fit_no_page_are_narrower():
    tall = gallery_figure([tile(i, (40, 240)) for i in range(36)], UNIT, columns=6)
    with pytest.raises(ConfigError, match=r"178 mm wide: it would be .* more than a page; it can"):
        fitted(tall, "page")
    width = suiting_width(tall)
    assert isinstance(width, (int, float))
    fitted(tall, width)
