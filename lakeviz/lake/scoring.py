"""Scoring images with one detector, or with several of one tower in a single pass."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lakeviz.activations import Images, Loading, TokenBatch, TokenBatches, token_grid
from lakeviz.data.streams import stream_of
from lakeviz.errors import DataError
from lakeviz.journal import Journal
from lakeviz.lake.fitted import FittedLake
from lakeviz.lake.score_maps import ScoreMaps, join_layers, stack_parts, to_grid
from lakeviz.units.base import encoded

CONTROL_PREFIX = "control/"
_SAID = "said"  # ids, sizes, what was skipped and where it ends, as JSON in a record


def score_together(
    lakes: Sequence[FittedLake],
    images: Images,
    *,
    loading: Loading | None = None,
    preprocessed: bool = False,
    journal: Journal | None = None,
    label: str = "score",
) -> list[ScoreMaps]:
    """Score images with several detectors of one tower: each image passes it once.

    Parameters
    ----------
    lakes : sequence of Lake
        Fitted, of one model, the same units and equal settings but for the normal images. The maps
        of single hook points are kept of the first alone, or of all where there are several
        streams.
    images, loading, preprocessed
        See :class:`lakeviz.activations.TokenBatches`.
    journal : Journal, optional
        Keeps every batch as it is scored; those it holds under this label are not scored again.
    label : str

    Returns
    -------
    list of ScoreMaps
        In the order of ``lakes``.
    """
    first, loading = lakes[0], loading or Loading()
    for lake in lakes:
        lake.visual  # noqa: B018 - raises if not fitted
    points = list(first.points)
    if first.text is not None and first.text.point not in points:
        points.append(first.text.point)
    done = [] if journal is None else list(_kept(journal, label))
    start = done[-1].stop if done else 0
    skipped = [one for part in done for one in part.skipped]
    whole = TokenBatches(
        first.model,
        images,
        points,
        loading=loading,
        run_on=first.text is not None,
        label="score",
        preprocessed=preprocessed,
    )
    if start < whole.n_images:
        batches = whole.after(start)
        before = len(skipped)
        try:
            for batch in batches:
                # Batches begin at multiples of their size, also where images are left out.
                n_batches = batch.indices[-1] // loading.batch_size + 1
                new = batches.skipped[len(skipped) - before :]
                stop = start + n_batches * loading.batch_size
                part = _Part(_arrays(lakes, batch), batch.sample_ids, batch.sizes, new, stop)
                if journal is not None:
                    journal.put([label, done[-1].stop if done else 0], part.record())
                done.append(part)
                skipped += new
        except DataError:
            if not done or len(batches.skipped) < batches.n_images:
                raise  # else none of the last few could be read, and earlier ones could
        skipped += batches.skipped[len(skipped) - before :]
    made = [_maps(lake, number, done, skipped) for number, lake in enumerate(lakes)]
    for maps in made:
        maps.picture = whole.picture
    return made


@dataclass(frozen=True)
class _Part:
    """What the detectors made of one batch: maps of each as ``NUMBER|NAME``, and of the text."""

    arrays: dict[str, np.ndarray]
    sample_ids: Sequence[str]
    sizes: Sequence[tuple[int, int]]
    skipped: Sequence[tuple[str, str]]
    stop: int  # position of the image after its last

    def record(self) -> dict[str, np.ndarray]:
        """As a journal keeps it."""
        said = json.dumps([list(self.sample_ids), self.sizes, list(self.skipped), self.stop])
        return self.arrays | {_SAID: np.frombuffer(said.encode(), dtype=np.uint8)}

    @classmethod
    def of_record(cls, record: dict[str, np.ndarray]) -> _Part:
        """What :meth:`record` gave."""
        ids, sizes, skipped, stop = json.loads(record.pop(_SAID).tobytes())
        return cls(record, ids, [tuple(s) for s in sizes], [tuple(s) for s in skipped], stop)


def _kept(journal: Journal, label: str) -> Iterator[_Part]:
    stop = 0
    while (record := journal.get([label, stop])) is not None:
        part = _Part.of_record(record)
        yield part
        stop = part.stop


def _arrays(lakes: Sequence[FittedLake], batch: TokenBatch) -> dict[str, np.ndarray]:
    """Maps of one batch: of each detector the visual branch and its controls, and of the text."""
    arrays: dict[str, np.ndarray] = {}
    tokens = encoded(lakes[0].units, batch.tokens)
    several = len(set(map(stream_of, lakes[0].points))) > 1
    for number, lake in enumerate(lakes):
        grids = {p: token_grid(lake.model.tower, p) for p in lake.points}
        for name, branch in lake.branches.items():
            scores = branch.score(tokens)
            for point in scores.keys() & batch.missing.keys():
                gone = batch.missing[point].to(scores[point].device)
                scores[point] = scores[point].masked_fill(gone[:, None], torch.nan)
            mean, own = join_layers(scores, grids)
            if name != "lake":
                arrays[f"{number}|{CONTROL_PREFIX}{name}"] = mean.cpu().numpy()
                continue
            arrays[f"{number}|visual"] = mean.cpu().numpy()
            if number == 0 or several:  # streams are measured on every draw
                arrays |= {f"{number}|visual/{p}": m.cpu().numpy() for p, m in own.items()}
    first = lakes[0]
    if first.text is not None:
        arrays["text"] = _text_maps(first, batch, arrays["0|visual"].shape[-2:])
        if batch.output is not None:
            arrays["text_image"] = first.text.probability(batch.output).cpu().numpy()
    return arrays


def _maps(
    lake: FittedLake, number: int, done: Sequence[_Part], skipped: list[tuple[str, str]]
) -> ScoreMaps:
    """Put the batches of one detector together and fuse them with the text branch.

    Prompts know nothing of the normal images: the text branch is the same for all detectors.
    """
    arrays = stack_parts([part.arrays for part in done])
    head = f"{number}|"
    parts = {n.removeprefix(head): a for n, a in arrays.items() if n.startswith(head)}
    if "text" in arrays:
        parts["text"] = arrays["text"]
    fused = fuse(lake, parts["visual"], arrays.get("text"))
    rule = lake.options.image_score
    image_parts = {name: rule(part) for name, part in parts.items()}
    if "text_image" in arrays:
        image_parts["text_image"] = arrays["text_image"]
    return ScoreMaps(
        patch=fused,
        parts=parts,
        image_scores=rule(fused),
        image_parts=image_parts,
        sample_ids=[name for part in done for name in part.sample_ids],
        sizes=[size for part in done for size in part.sizes],
        smoothing=lake.options.smoothing,
        map_size=lake.options.map_size,
        skipped=list(skipped),
        geometry=lake.model.preprocess.geometry,
    )


def fuse(lake: FittedLake, visual: np.ndarray, text: np.ndarray | None) -> np.ndarray:
    """``(1 - w) visual + w text``, the method's fusion."""
    if text is None or lake.text_weight == 0:
        return visual
    return (1 - lake.text_weight) * visual + lake.text_weight * text


def _text_maps(lake: FittedLake, batch: TokenBatch, grid: tuple[int, int]) -> np.ndarray:
    assert lake.text is not None
    point = lake.text.point
    scores = lake.text.score_patches(lake.model, batch.tokens[point], batch.images)
    text = scores.reshape(len(scores), *token_grid(lake.model.tower, point))
    return to_grid(text, grid).cpu().numpy()
