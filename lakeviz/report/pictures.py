"""Images of the report: photograph, score map and mask outline as layers of one picture."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from lakeviz.data import load_image
from lakeviz.errors import LakevizError
from lakeviz.plots import ColourRange
from lakeviz.plots.colours import HEAT, heat_picture
from lakeviz.plots.distributions import verdict
from lakeviz.plots.heatmap import data_uri, fit_within
from lakeviz.plots.outlines import shrink_mask, svg_path
from lakeviz.plots.timeline import choose_clips, film_frames

if TYPE_CHECKING:
    from lakeviz.lake.evaluation import Evaluation

_LONGEST = 320
# A score map is smooth, so half the size is enough.
_LONGEST_HEAT = 160
_PER_STRIP = 4
_FILM, _LONGEST_FRAME = 48, 240  # frames of a film, and their size in pixels


@dataclass(frozen=True)
class Picture:
    """One image of the test set.

    The verdict is "missed" or "false alarm" at the F1-max threshold, or empty where it is right.
    Width and height are those of the photograph here, in pixels, which the outline of the mask (an
    SVG path) is in, too. Photograph and heat are data URIs, empty where the image cannot be read,
    as ``problem`` then says. ``patches`` are the patch scores row by row, separated by commas.
    """

    name: str
    defect: str
    score: float
    score_text: str
    verdict: str
    width: int
    height: int
    photo: str
    heat: str
    outline: str
    rows: int
    columns: int
    patches: str
    problem: str


@dataclass(frozen=True)
class Strip:
    """A row of pictures and what they have in common."""

    title: str
    rule: str
    pictures: list[Picture]


def strips(evaluation: Evaluation, colours: ColourRange, threshold: float) -> list[Strip]:
    """Pictures of the images that are wrong or nearest to it, then of those that are most right.

    No image is shown twice: where there are few, the most wrong come first.
    """
    labels = evaluation.dataset.labels
    scores = np.asarray(evaluation.maps.image_scores)
    rising = np.argsort(scores, kind="stable")
    normal, anomalous = rising[labels[rising] == 0], rising[labels[rising] == 1]
    wanted = [
        _doubtful("normal", "highest", normal[::-1], labels, scores, threshold),
        _doubtful("anomalous", "lowest", anomalous, labels, scores, threshold),
        ("Most right, anomalous", "the highest scores of anomalous images", anomalous[::-1]),
        ("Most right, normal", "the lowest scores of normal images", normal),
    ]
    shown: set[int] = set()
    made = []
    for title, rule, order in wanted:
        fresh = [int(i) for i in order if int(i) not in shown][:_PER_STRIP]
        shown.update(fresh)
        if fresh:
            pictures = [picture(evaluation, i, colours, threshold) for i in fresh]
            made.append(Strip(title, rule, pictures))
    return made


def film(evaluation: Evaluation, colours: ColourRange, threshold: float) -> Strip | None:
    """Frames of one clip in order, to be played; None where the images are no frames.

    The clip is one that has both normal and anomalous frames, if there is one.
    """
    if "clip" not in evaluation.scores:
        return None
    clip = choose_clips(evaluation.scores)[0]
    frames = film_frames(evaluation.scores, clip, _FILM)
    n = evaluation.scores["clip"].tolist().count(clip)
    chosen: list[int] = frames["position"].tolist()
    pictures = [picture(evaluation, i, colours, threshold, _LONGEST_FRAME) for i in chosen]
    rule = f"{len(frames)} of {n} frames, evenly spaced" if len(frames) < n else f"all {n} frames"
    return Strip(f"Clip {clip}", rule, pictures)


def _doubtful(
    kind: str,
    extreme: str,
    order: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    threshold: float,
) -> tuple[str, str, np.ndarray]:
    """The images that are wrong at the threshold; where none is, those closest to it."""
    rule = f"the {extreme} scores of {kind} images"
    if not np.isfinite(threshold):
        return f"{extreme.capitalize()} scores, {kind}", rule, order
    wrong = np.array([i for i in order if verdict(int(labels[i]), float(scores[i]), threshold)])
    if not wrong.size:
        return f"Closest to the threshold, {kind}", f"none is wrong; {rule}", order
    return f"Most wrong, {kind}", f"{len(wrong)} of {len(order)} are wrong; {rule}", wrong


def typical(evaluation: Evaluation, most: int, *, several: bool = False) -> list[int]:
    """Anomalous images next to the median score of their kind of defect, the largest kinds first.

    One of each kind, or ``several`` where there are fewer kinds than are asked for.
    """
    kinds = evaluation.dataset.frame["defect_type"].to_numpy()
    scores = np.asarray(evaluation.maps.image_scores)
    anomalous = evaluation.dataset.labels == 1
    found = []
    for kind, n in Counter(kinds[anomalous]).most_common(most):
        own = np.flatnonzero(anomalous & (kinds == kind))
        own = own[np.argsort(scores[own], kind="stable")]
        middle = (n - 1) // 2
        order = sorted(range(n), key=lambda place: (abs(place - middle), place))
        found.append([int(own[place]) for place in order[: None if several else 1]])
    rounds = zip_longest(*found)
    return [index for one in rounds for index in one if index is not None][:most]


def picture(
    evaluation: Evaluation,
    index: int,
    colours: ColourRange,
    threshold: float,
    longest: int = _LONGEST,
) -> Picture:
    """Encode one image; one that cannot be read is named, with the reason."""
    row = evaluation.dataset.frame.iloc[index]
    maps = evaluation.maps
    score = float(maps.image_scores[index])
    rows, columns = maps.grid
    photo = heat = problem = ""
    width, height = longest, longest
    try:
        image = fit_within(load_image(row["path"]), longest)
        width, height = image.size
        photo = data_uri(image, quality=80, optimize=True)
        heat = heat_uri(maps.pixel_map(index), colours, image)
    except LakevizError as error:
        problem = str(error)
    outline, no_mask = outline_path(evaluation, index, (height, width)) if photo else ("", "")
    return Picture(
        name=str(row["sample_id"]),
        defect=str(row["defect_type"]),
        score=score,
        score_text=f"{score:.{colours.decimals}f}",
        verdict=verdict(int(row["label"]), score, threshold),
        width=width,
        height=height,
        photo=photo,
        heat=heat,
        outline=outline,
        rows=rows,
        columns=columns,
        patches=",".join(f"{value:.4g}" for value in maps.patch[index].ravel()),
        problem=problem or no_mask,
    )


def frame(shown: list[Picture]) -> str:
    """Aspect ratio for pictures that stand together: the middle one, neither flat nor tall."""
    ratios = [p.width / p.height for p in shown]
    return f"{np.clip(np.median(ratios), 0.7, 1.6):.3f}" if ratios else "1"


def colour_bar() -> str:
    """Colour scale of the heat maps as a CSS gradient."""
    return f"linear-gradient(90deg, {', '.join(colour for _, colour in HEAT)})"


def heat_uri(pixel_map: np.ndarray, colours: ColourRange, image: Image.Image) -> str:
    """Data URI of a picture to lay over the photograph, the more opaque the higher the score."""
    scale = min(0.5, _LONGEST_HEAT / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return data_uri(heat_picture(pixel_map, colours, size), "png", optimize=True)


def outline_path(evaluation: Evaluation, index: int, size: tuple[int, int]) -> tuple[str, str]:
    """SVG path of the mask, and the reason where an anomalous image has none."""
    try:
        mask = shrink_mask(evaluation.mask(index), size)
    except LakevizError as error:
        return "", str(error)
    label = int(evaluation.dataset.labels[index])
    if label and not mask.any():
        return "", "the mask of this anomalous image is empty"
    return svg_path(mask), ""
