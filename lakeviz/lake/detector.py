"""``Lake``: the detector. Fit on a few normal images, score others, evaluate on a labelled set."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lakeviz.activations import Images, Loading, RunningStatistics, TokenBatches, token_grid
from lakeviz.data import Dataset, FewShotDraw
from lakeviz.errors import ConfigError, NotFittedError, SelectionError, no_attribute
from lakeviz.lake.dropping import drop_channels, gallery_tokens, normal_images, require_tokens
from lakeviz.lake.elsewhere import ELSEWHERE
from lakeviz.lake.evaluation import Evaluation
from lakeviz.lake.fitted import load_fitted, save_fitted
from lakeviz.lake.joint_selection import check_points_k
from lakeviz.lake.layers import check_model, neurons_at, unit_points, widths_of, with_k
from lakeviz.lake.measuring import evaluate, spectrum_table
from lakeviz.lake.options import LakeOptions
from lakeviz.lake.outliers import Outliers, OutlierWatch
from lakeviz.lake.score_maps import ScoreMaps
from lakeviz.lake.scoring import fuse, score_together
from lakeviz.lake.selection import SAME_DETECTOR, Selection, take_all
from lakeviz.lake.selectors import NeuronNumbers, get_selector
from lakeviz.lake.text import TextBranch, fit_text, text_weight_of
from lakeviz.lake.visual import (
    BranchSpec,
    VisualBranch,
    branch_specs,
    fit_selections,
    select_branch,
)
from lakeviz.units.base import Units, encoded, units_by_point
from lakeviz.wording import counted

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from lakeviz.models import VisionModel

_log = logging.getLogger(__name__)

# Normal tokens up to this size are kept between the two passes of a fit; above it, the images go
# through the tower twice and memory stays flat.
_KEEP_BYTES = 2**30


class Lake:
    """LAKE on a model: patch distances in high-variance neurons, optionally fused with text scores.

    Keeps the neurons of highest variance over normal patches at each hook point, stores the normal
    patch tokens in them as a gallery, and scores a test patch by its distance to the nearest
    gallery tokens (fused with a text-prompt score where the model has text). The image score is the
    maximum over patches.

    Parameters
    ----------
    model : VisionModel
    neurons : mapping of hook point or block to channels, optional
        The neurons themselves, in place of a selector.
    units : Units or sequence of Units, optional
        What is selected and compared in place of neurons, such as the latents of an SAE: one set
        for each hook point; see :mod:`lakeviz.units`. Its hook points are the layers.
    k, layers, selector, text_weight, visual, text, image_score, smoothing, map_size, seed
        See :class:`LakeOptions`.

    Attributes
    ----------
    points : tuple of str
        Hook points of the visual branch.
    text_weight : float
        The weight in use.
    statistics : RunningStatistics, optional
        Of the normal patch tokens, after :meth:`fit`.
    normal_ids : list of str
        Images it was fitted on.
    skipped : list of (path, reason)
        Images that could not be read in :meth:`fit`, where that was allowed.
    branches : dict of VisualBranch
        ``"lake"``, and the controls as ``"<selector>#<seed>"``.
    outliers : Outliers, optional
        What dominates the variance of the normal patch tokens, after :meth:`fit`.
    missing_controls : dict of str
        Why a control could not be made.
    text : TextBranch, optional
        None where the text weight is 0.

    Raises
    ------
    TextBranchError
        If ``text_weight`` > 0 is asked for on a model that cannot have a text branch.
    SelectionError
        If the selector is unknown or ``k`` exceeds the channels of a layer.
    ConfigError, UnknownHookPointError
        If an option is out of range or a layer does not exist.

    Examples
    --------
    >>> from lakeviz import Lake, load_model  # doctest: +SKIP
    >>> lake = Lake(load_model("tiny"), k=100)  # doctest: +SKIP
    >>> lake.fit(["normal/1.png"], class_name="wood").score(["test/1.png"])  # doctest: +SKIP
    """

    def __init__(
        self,
        model: VisionModel,
        *,
        neurons: NeuronNumbers | None = None,
        units: Units | Sequence[Units] | None = None,
        **options: object,
    ):
        check_model(model)
        self.model = model
        self.units = units_by_point(units)
        if neurons is not None:
            if "selector" in options:
                raise ConfigError("neurons are named, so there is no selector; give one of them")
            options["selector"] = neurons_at(model, neurons)
        asked = LakeOptions.named(options)
        self.points = unit_points(model, asked.layers, self.units, asked.streams)
        widths = widths_of(model, self.points, self.units)
        o = self.options = with_k(asked, widths.values())
        check_points_k(o.selector, o.k, widths, o.selection_scope)
        self.text_weight = text_weight_of(model, asked.text_weight)
        self.statistics: RunningStatistics | None = None
        self.normal_ids: list[str] = []
        self.skipped: list[tuple[str, str]] = []
        self.branches: dict[str, VisualBranch] = {}
        self.missing_controls: dict[str, str] = {}
        self.outliers: Outliers | None = None
        self.text: TextBranch | None = None
        self._description: dict[str, Any] | None = None

    @classmethod
    def from_options(
        cls, model: VisionModel, options: LakeOptions, units: Units | Sequence[Units] | None = None
    ) -> Lake:
        """Build a detector from its settings."""
        settings = {name: getattr(options, name) for name in options.__dataclass_fields__}
        return cls(model, units=units, **settings)

    def _chosen(
        self, statistics: RunningStatistics, specs: Mapping[str, BranchSpec]
    ) -> dict[str, Mapping[str, Selection]]:
        """Select for the detector and each control, without those that cannot be made."""
        chosen: dict[str, Mapping[str, Selection]] = {}
        self.missing_controls = {}
        for name, spec in specs.items():
            try:
                chosen[name] = select_branch(statistics, spec)
            except SelectionError as error:
                if name == "lake":
                    raise
                self.missing_controls[name.split("#")[0]] = str(error)
        same = [n for n in chosen if n != "lake" and take_all(chosen["lake"], chosen[n])]
        self.missing_controls |= {name.split("#")[0]: SAME_DETECTOR for name in same}
        return {name: own for name, own in chosen.items() if name not in same}

    @property
    def visual(self) -> VisualBranch:
        """The detector's own visual branch.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        """
        if "lake" not in self.branches:
            raise NotFittedError("this detector is not fitted; call fit(normal images) first")
        return self.branches["lake"]

    def fit(
        self,
        images: Images | FewShotDraw,
        class_name: str | None = None,
        *,
        controls: Sequence[tuple[str, int]] = (),
        borrowed: Mapping[str, Mapping[str, Selection]] | None = None,
        loading: Loading | None = None,
        preprocessed: bool = False,
    ) -> Lake:
        """Select neurons and store the normal patch tokens in them as galleries.

        Parameters
        ----------
        images : path, folder, Dataset, few-shot draw, paths, PIL images, arrays, tensors, loader
            At least one normal image; see :func:`lakeviz.data.inputs.as_images`.
        class_name : str, optional
            What the prompts call the thing; the category of the draw or data set, or "object", by
            default.
        controls : sequence of (selector, seed)
            Further selections of the same size, fitted in the same pass and scored by
            :meth:`score` along with the detector's own. One that cannot be made on this tower is
            left out; :attr:`missing_controls` says why.
        borrowed : mapping of name to selections by hook point, optional
            Controls whose neurons were selected elsewhere, such as in another category:
            ``"other_category#wood"``.
        loading : Loading, optional
        preprocessed : bool
            The images are tensors that are normalised for the model already.

        Returns
        -------
        Lake
            Itself.

        Raises
        ------
        DataError
            If there is no image, or the data set holds anomalous ones.
        ActivationError
            On NaN or infinite activations.
        SelectionError
            If the detector's own selection cannot be made, or a control is unknown.
        """
        images, category = normal_images(images)
        o = self.options
        specs = branch_specs(o, controls)
        selectors = [get_selector(s.selector) for s in specs.values()]
        text = None
        if self.text_weight > 0:
            text = fit_text(self.model, class_name or category or "object", o.text)
        batches = TokenBatches(
            self.model,
            images,
            self.points,
            loading=loading,
            label="fit",
            preprocessed=preprocessed,
        )
        wider = max((u.n_units / u.n_channels for u in self.units.values()), default=1)
        keep = batches.bytes_per_image() * wider * batches.n_images <= _KEEP_BYTES
        statistics = RunningStatistics(
            batches.points,
            with_covariance=any(s.needs_covariance for s in selectors),
            with_tokens=any(s.needs_tokens for s in selectors),
            ordinary=o.drops_from_selection,
        )
        kept, normal_ids = [], []
        for batch in batches:
            tokens = encoded(self.units, batch.present)
            statistics.update_tokens(tokens)
            normal_ids.extend(batch.sample_ids)
            if keep:
                kept.append(tokens)
        normal = kept if keep else (encoded(self.units, batch.present) for batch in batches)
        require_tokens(statistics)
        drop_channels(statistics, o)
        watch = OutlierWatch(statistics, {p: token_grid(self.model.tower, p) for p in statistics})
        chosen = self._chosen(statistics, specs) | dict(borrowed or {})
        names = [
            (specs[n].selector, specs[n].seed) if n in specs else (n.split("#")[0], o.seed)
            for n in chosen
        ]
        gallery = gallery_tokens(watch.watch(normal), o)
        fitted = fit_selections(gallery, statistics, list(chosen.values()), o.visual, names)
        self.branches = dict(zip(chosen, fitted, strict=True))
        self.statistics, self.text, self.outliers = statistics, text, watch.report()
        self.normal_ids, self.skipped = normal_ids, batches.skipped
        return self

    def score(
        self, images: Images, *, loading: Loading | None = None, preprocessed: bool = False
    ) -> ScoreMaps:
        """Score images: patch maps, image scores, and the parts they are made of.

        Parameters
        ----------
        images : path, folder, Dataset, paths, PIL images, arrays, tensors, or a loader
            See :func:`lakeviz.data.inputs.as_images`.
        loading : Loading, optional
        preprocessed : bool
            The images are tensors that are normalised for the model already.

        Returns
        -------
        ScoreMaps

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        DataError
            If there is no image.
        ActivationError
            On NaN or infinite activations.
        """
        return score_together([self], images, loading=loading, preprocessed=preprocessed)[0]

    def fuse(self, visual: np.ndarray, text: np.ndarray | None) -> np.ndarray:
        """``(1 - w) visual + w text``, the method's fusion."""
        return fuse(self, visual, text)

    def spectrum(self) -> go.Figure:
        """Draw the variance of every channel against its rank; the selected ones are marked.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        """
        from lakeviz.plots import spectrum_figure

        self.visual  # noqa: B018 - raises if not fitted
        return spectrum_figure(spectrum_table(self), n_images=len(self.normal_ids))

    def __repr__(self) -> str:
        o, points = self.options, ", ".join(self.points)
        state = (
            f"fitted on {counted(len(self.normal_ids), 'image')}" if self.branches else "not fitted"
        )
        each = "each" if o.selection_scope == "layer" else "in all"
        what = " + ".join(dict.fromkeys(u.name for u in self.units.values())) or "neurons"
        chosen = f"{o.k} {what} {each} by {o.selector}"
        return f"<Lake on {self.model.name}: {chosen} at {points}, {state}>"

    if not TYPE_CHECKING:  # else type checkers take any name

        def __getattr__(self, name: str) -> Any:
            raise no_attribute(self, name, ELSEWHERE)

    def describe_model(self) -> dict[str, Any]:
        """Describe the model once; hashing the weights of a large model takes seconds."""
        if self._description is None:
            self._description = self.model.describe()
        return self._description

    def save(self, folder: str | Path) -> Path:
        """Write the fitted detector: ``lake.json`` and ``lake.safetensors``, without controls.

        Raises
        ------
        NotFittedError
            Before :meth:`fit`.
        OutputError
            If it cannot be written.
        """
        return save_fitted(self, folder)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        model: VisionModel | None = None,
        *,
        units: Units | Sequence[Units] | None = None,
    ) -> Lake:
        """Read a detector back.

        Parameters
        ----------
        folder : path
            As written by :meth:`save`.
        model : VisionModel
            The model it was fitted on, checked by its weights' hash; it is not stored with it.
        units : Units or sequence of Units, optional
            Those it was fitted on, checked by their hash; they are not stored with it.

        Raises
        ------
        StoreError
            If it is missing, damaged, or was fitted on another model or on other units.
        """
        if model is None:
            raise ConfigError(f"name the model that {folder} was fitted on: load_lake(path, model)")
        given = units_by_point(units)
        return load_fitted(folder, lambda options: cls.from_options(model, options, units), given)

    def evaluate(
        self, dataset: Dataset, *, further: Sequence[Lake] = (), loading: Loading | None = None
    ) -> Evaluation:
        """Score a labelled data set and measure detection and localisation.

        ``further`` are detectors fitted on other draws of the normal images; see
        :func:`lakeviz.lake.measuring.evaluate`.
        """
        return evaluate(self, dataset, further=further, loading=loading)


save_lake, load_lake = Lake.save, Lake.load
