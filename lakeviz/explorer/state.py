"""``Explorer``: what the widget shows, as plain data and without a widget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from lakeviz.data.dataset import unknown_category
from lakeviz.errors import ConfigError, DataError, SelectionError
from lakeviz.explorer.fitted import Fitted
from lakeviz.explorer.interventions import (
    effects,
    evaluator_of,
    exchanged_maps,
    twin_map,
    twin_of_image,
)
from lakeviz.explorer.neurons import neuron_view
from lakeviz.explorer.one_image import point_view
from lakeviz.explorer.views import (
    Dropped,
    ExchangedView,
    ImageView,
    KnockedView,
    NeuronView,
    PatchView,
    Place,
)
from lakeviz.metrics.measurement import Measurement
from lakeviz.studies.base.captured import StudyData
from lakeviz.studies.dossier import DossierResult

N_CONTROLS = 5


class Explorer:
    """The detectors of one or more categories, by image, patch and neuron.

    Neurons that are off are dropped from gallery and query alone: the network, the selection and
    the tokens of the gallery stay as they are, so nothing passes through the tower again.

    Parameters
    ----------
    data : StudyData or sequence of StudyData
        One per category; the first is shown first.
    n_controls : int
        Random sets of neurons that every choice is compared with.
    seed : int
        Draws them.
    dossiers : DossierResult, optional
        Of these categories: what they say of a neuron is shown with it.

    Raises
    ------
    DataError
        If there is no category, or two of one name.
    SelectionError
        If a category's selector gives a subspace instead of neurons.
    ConfigError
        If there is no control.
    """

    def __init__(
        self,
        data: StudyData | Sequence[StudyData],
        *,
        n_controls: int = N_CONTROLS,
        seed: int = 0,
        dossiers: DossierResult | None = None,
    ):
        given = [data] if isinstance(data, StudyData) else list(data)
        names = [d.category for d in given]
        if not given:
            raise DataError("there is no category to explore")
        if len(set(names)) < len(names):
            raise DataError(f"two categories have the same name: {', '.join(sorted(names))}")
        if n_controls < 1:
            raise ConfigError("knock-outs need a control: n_controls must be 1 or more")
        self.n_controls, self.seed, self.dossiers = n_controls, seed, dossiers
        self._fitted = {d.category: Fitted(d) for d in given}
        self._measured: dict[str, Measurement] = {}
        self._chosen = lru_cache(maxsize=8)(lambda c, i: self._fitted[c].chosen(i))
        self._twin = lru_cache(maxsize=8)(lambda c, i: twin_of_image(self._fitted[c], i))

    @property
    def categories(self) -> list[str]:
        """Names of the categories."""
        return list(self._fitted)

    def fitted(self, category: str | None = None) -> Fitted:
        """The detector of a category, the first by default.

        Raises
        ------
        DataError
            If there is none of that name.
        """
        if category is None:
            return next(iter(self._fitted.values()))
        if category not in self._fitted:
            raise DataError(unknown_category(category, self.categories, "the explorer"))
        return self._fitted[category]

    # --- what is there ---

    def images(self, category: str | None = None) -> pd.DataFrame:
        """A row per test image: index, sample_id, label, defect_type, score; clip and frame."""
        fitted = self.fitted(category)
        data = fitted.data
        kinds = (
            data.dataset.frame["defect_type"].tolist()
            if data.dataset is not None
            else ["anomalous" if label else "good" for label in data.truth.labels]
        )
        frames = data.dataset.frames if data.dataset is not None else []
        of_clips = {"clip": [c for c, _ in frames], "frame": [n for _, n in frames]}
        return pd.DataFrame(
            {
                "category": data.category,
                "index": np.arange(len(data.test)),
                "sample_id": data.test.sample_ids,
                "label": data.truth.labels,
                "defect_type": kinds,
                "score": fitted.image_scores,
                **(of_clips if frames else {}),
            }
        )

    def neurons(self, category: str | None = None) -> pd.DataFrame:
        """The selected neurons: point, rank, channel, variance."""
        galleries = self.fitted(category).galleries.values()
        frames = [m.selection.frame().rename(columns={"score": "variance"}) for m in galleries]
        return pd.concat(frames, ignore_index=True).drop(columns="selector")

    def image(self, index: int, category: str | None = None) -> ImageView:
        """One test image with all neurons on.

        Raises
        ------
        DataError
            If there is no such image.
        """
        fitted = self.fitted(category)
        fitted.check_image(index)
        data = fitted.data
        parts = {"visual": fitted.intact.visual[index]}
        if data.text_weight > 0 and data.text is not None:
            parts["text"] = data.text.patch[index]
        return ImageView(
            category=data.category,
            index=index,
            sample_id=data.test.sample_ids[index],
            label=int(data.truth.labels[index]),
            score=float(fitted.image_scores[index]),
            map=fitted.intact.fused[index],
            parts=parts,
        )

    def patch(
        self,
        index: int,
        row: int,
        column: int,
        *,
        dropped: Mapping[str, Iterable[int]] | None = None,
        category: str | None = None,
    ) -> PatchView:
        """One patch: its score, nearest normal patches, and every neuron's part of the distance.

        Parameters
        ----------
        index : int
            Test image.
        row, column : int
            On the patch grid of the map.
        dropped : mapping of hook point to channels, optional
            Neurons that are off.
        category : str, optional

        Raises
        ------
        DataError
            If there is no such image or patch.
        SelectionError
            If a dropped channel is not selected, or none is left.
        """
        fitted = self.fitted(category)
        fitted.check_image(index)
        data = fitted.data
        off = self._checked(fitted, dropped)
        rows, columns = fitted.intact.fused.shape[1:]
        if not (0 <= row < rows and 0 <= column < columns):
            raise DataError(
                f"the map has {rows} x {columns} patches, counted from 0; there is no patch "
                f"({row}, {column})"
            )
        galleries = fitted.without(off)
        chosen = self._chosen(data.category, index)
        fused = fitted.image_map(index, galleries, chosen)
        views = []
        for point, gallery in galleries.items():
            own = data.grids[point]
            at = row * own[0] // rows, column * own[1] // columns
            patch = at[0] * own[1] + at[1]
            place = fitted.place(point, "test", index, patch)
            share = fitted.intact.normal_share[point][gallery.kept]
            views.append(point_view(fitted, gallery, chosen[point][0, patch], place, share))
        text = None
        if data.text_weight > 0 and data.text is not None:
            text = float(data.text.patch[index, row, column])
        w = data.text_weight if text is not None else 0.0
        score = float(fused[row, column])
        visual = float(np.mean([v.score for v in views]))
        return PatchView(
            place=Place("test", index, data.test.sample_ids[index], row, column, (rows, columns)),
            score=score,
            visual=visual,
            text=text,
            text_weight=w,
            points=views,
            dropped=off,
        )

    def neuron(self, point: str, channel: int, *, n_examples: int = 6) -> NeuronView:
        """One neuron: where it fires in each category, and its example patches.

        Raises
        ------
        SelectionError
            If there is no such point or channel.
        """
        every = list(self._fitted.values())
        return neuron_view(every, point, channel, n_examples, self.dossiers)

    # --- neurons off ---

    def controls(self, dropped: Dropped, category: str | None = None) -> list[Dropped]:
        """Random sets of as many neurons per point, uniformly of the selected ones.

        The same sets for every choice of equal size, so that choices are compared with one control.
        """
        galleries = self.fitted(category).galleries
        sets = []
        for draw in range(self.n_controls):
            sizes = [len(dropped.get(p, ())) for p in galleries]
            generator = np.random.default_rng([self.seed, draw, *sizes])
            sets.append(
                {
                    p: tuple(
                        sorted(generator.choice(m.selection.channels, n, replace=False).tolist())
                    )
                    for (p, m), n in zip(galleries.items(), sizes, strict=True)
                    if n
                }
            )
        return sets

    def knock_out(
        self, dropped: Mapping[str, Iterable[int]], index: int, category: str | None = None
    ) -> KnockedView:
        """One image with neurons off, and with as many random ones off.

        Parameters
        ----------
        dropped : mapping of hook point to channels
        index : int
        category : str, optional

        Raises
        ------
        DataError, SelectionError
            As :meth:`patch`.
        """
        fitted = self.fitted(category)
        fitted.check_image(index)
        off = self._checked(fitted, dropped)
        controls = self.controls(off, fitted.data.category)
        chosen = self._chosen(fitted.data.category, index)
        maps = np.stack(
            [fitted.image_map(index, fitted.without(c), chosen) for c in [off, *controls]]
        )
        return KnockedView(**_compared(fitted, index, off, controls, maps))

    def exchange(
        self, units: Mapping[str, Iterable[int]], index: int, category: str | None = None
    ) -> ExchangedView:
        """One image whose neurons take the values of its twin without the defect.

        The tower runs on from the exchange, unlike a knock-out of the detector's neurons.

        Parameters
        ----------
        units : mapping of hook point to channels
        index : int
        category : str, optional

        Raises
        ------
        DataError
            If the image has no mask, or there are no image files; or as :meth:`patch`.
        ConfigError
            If the data hold no model.
        SelectionError
            As :meth:`patch`.
        """
        fitted = self.fitted(category)
        fitted.check_image(index)
        chosen = self._checked(fitted, units)
        name = fitted.data.category
        twin, controls = self._twin(name, index), self.controls(chosen, name)
        maps = exchanged_maps(fitted, index, twin, [chosen, *controls])
        (of_twin,) = fitted.data.options.image_score(twin_map(fitted, index, twin)[None])
        return ExchangedView(
            **_compared(fitted, index, chosen, controls, maps),
            twin=twin.kind,
            twin_score=float(of_twin),
        )

    def measure(
        self,
        dropped: Mapping[str, Iterable[int]],
        category: str | None = None,
        *,
        go_on: Callable[[], bool] = lambda: True,
    ) -> pd.DataFrame:
        """Measure all test images with neurons off, and with as many random ones off.

        Parameters
        ----------
        dropped : mapping of hook point to channels
        category : str, optional
        go_on : callable, optional
            Asked now and then; where it says no, the work stops.

        Returns
        -------
        DataFrame
            One row per metric: category, level, metric, intact, value (without the chosen),
            change with its interval (paired over images), control_mean, control_min and
            control_max (smallest and largest of the random sets), difference to the control with
            its interval (over images and over the choice of one random set, see
            :mod:`lakeviz.metrics.estimates`), n_random_sets, n_images, and the reason where a
            metric is missing. With nothing off there is nothing to compare: intact alone.

        Raises
        ------
        SelectionError
            As :meth:`patch`.
        Stopped
            If told to stop.
        """
        fitted = self.fitted(category)
        off = self._checked(fitted, dropped)
        data = fitted.data
        if data.category not in self._measured:
            self._measured[data.category] = evaluator_of(data).measure(fitted.intact.fused)
        controls = self.controls(off, data.category) if off else []
        return effects(fitted, off, controls, self._measured[data.category], go_on)

    def _checked(
        self, fitted: Fitted, dropped: Mapping[str, Iterable[int]] | None
    ) -> dict[str, tuple[int, ...]]:
        """Plain, ordered channels per point, without empty points."""
        off = {p: tuple(sorted({int(c) for c in cs})) for p, cs in (dropped or {}).items()}
        for point in off:
            if point not in fitted.galleries:
                known = ", ".join(fitted.galleries)
                raise SelectionError(f"no neurons are selected at {point!r}; points: {known}")
        fitted.without(off)  # refuses channels that are not selected
        return {p: off[p] for p in fitted.galleries if off.get(p)}


def _compared(
    fitted: Fitted,
    index: int,
    chosen: Dropped,
    controls: list[Dropped],
    maps: Float[np.ndarray, "set row column"],
) -> dict[str, Any]:
    """Fields of a view of one image: the map of the chosen neurons, then those of the controls."""
    scores = fitted.data.options.image_score(maps)
    return {
        "category": fitted.data.category,
        "index": index,
        "dropped": chosen,
        "intact": float(fitted.image_scores[index]),
        "score": float(scores[0]),
        "map": maps[0],
        "control_scores": scores[1:],
        "control_maps": maps[1:],
        "controls": controls,
    }
