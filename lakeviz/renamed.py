"""Old names of modules and parameters, kept for this version: they warn and say the new name."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

MOVED = {
    "lakeviz.analysis": "lakeviz.studies",
    "lakeviz.analysis.contamination.study": "lakeviz.studies.contamination",
    "lakeviz.analysis.decompose.ablation": "lakeviz.studies.decompose.mean_ablation",
    "lakeviz.analysis.decompose.decomposition": "lakeviz.studies.decompose.decomposer",
    "lakeviz.analysis.decompose.study": "lakeviz.studies.decompose",
    "lakeviz.analysis.dossier.study": "lakeviz.studies.dossier",
    "lakeviz.analysis.dossier.words": "lakeviz.studies.dossier.vocabulary",
    "lakeviz.analysis.evidence": "lakeviz.metrics.estimates",
    "lakeviz.analysis.knockout.forward": "lakeviz.studies.knockout.forward_engine",
    "lakeviz.analysis.knockout.incremental": "lakeviz.studies.knockout.leave_one_out",
    "lakeviz.analysis.knockout.score": "lakeviz.studies.knockout.score_engine",
    "lakeviz.analysis.knockout.study": "lakeviz.studies.knockout",
    "lakeviz.analysis.knockout.weights": "lakeviz.studies.knockout.weights_engine",
    "lakeviz.analysis.neurons.study": "lakeviz.studies.neurons",
    "lakeviz.analysis.overlap.items": "lakeviz.studies.overlap.selections",
    "lakeviz.analysis.overlap.study": "lakeviz.studies.overlap",
    "lakeviz.analysis.pca.study": "lakeviz.studies.pca",
    "lakeviz.analysis.result": "lakeviz.studies.base.result",
    "lakeviz.analysis.study_capture": "lakeviz.studies.base.capture",
    "lakeviz.analysis.study_data": "lakeviz.studies.base.captured",
    "lakeviz.analysis.study_run": "lakeviz.studies.base.study_run",
    "lakeviz.analysis.sweep.spec": "lakeviz.studies.sweep.grid",
    "lakeviz.analysis.sweep.sweeping": "lakeviz.studies.sweep",
    "lakeviz.analysis.tokens": "lakeviz.activations.token_subsets",
    "lakeviz.analysis.yardstick": "lakeviz.lake.paired_evaluator",
    "lakeviz.claims": "lakeviz.studies.claims",
    "lakeviz.claims.case": "lakeviz.studies.claims",
    "lakeviz.claims.study": "lakeviz.studies.claims",
    "lakeviz.lake.basic_selectors": "lakeviz.lake.selectors",
    "lakeviz.lake.control_selectors": "lakeviz.lake.selectors",
    "lakeviz.lake.coreset": "lakeviz.lake.gallery",
    "lakeviz.lake.maps": "lakeviz.lake.score_maps",
    "lakeviz.lake.normalisation": "lakeviz.lake.gallery",
    "lakeviz.lake.persist": "lakeviz",
    "lakeviz.lake.robust_selectors": "lakeviz.lake.selectors",
    "lakeviz.lake.run": "lakeviz",
    "lakeviz.lake.truth": "lakeviz.lake.ground_truth",
    "lakeviz.metrics.bands": "lakeviz.metrics.curve_bands",
    "lakeviz.metrics.resampling": "lakeviz.metrics.bootstrap",
    "lakeviz.models.hooked": "lakeviz.models.hooks.hooked_tower",
    "lakeviz.plots.browser": "lakeviz.plots.print.export",
    "lakeviz.plots.claims": "lakeviz.studies.claims.figures",
    "lakeviz.plots.contamination": "lakeviz.studies.contamination.figures",
    "lakeviz.plots.controls": "lakeviz.plots.difference_plot",
    "lakeviz.plots.decompose": "lakeviz.studies.decompose.figures",
    "lakeviz.plots.decompose_patches": "lakeviz.studies.decompose.figures",
    "lakeviz.plots.export": "lakeviz.plots.print.export",
    "lakeviz.plots.hosts": "lakeviz.studies.hosts.figures",
    "lakeviz.plots.knockout": "lakeviz.studies.knockout.figures",
    "lakeviz.plots.knockout_neurons": "lakeviz.studies.knockout.figures",
    "lakeviz.plots.neuron_groups": "lakeviz.studies.neurons.group_figures",
    "lakeviz.plots.neuron_matrix": "lakeviz.plots.matrix",
    "lakeviz.plots.neuron_patches": "lakeviz.studies.neurons.patch_figures",
    "lakeviz.plots.neurons": "lakeviz.studies.neurons.figures",
    "lakeviz.plots.outliers": "lakeviz.plots.spectrum",
    "lakeviz.plots.overlap": "lakeviz.studies.overlap.figures",
    "lakeviz.plots.overlap_sets": "lakeviz.studies.overlap.set_figures",
    "lakeviz.plots.overview": "lakeviz.plots.difference_plot",
    "lakeviz.plots.pca": "lakeviz.studies.pca.figures",
    "lakeviz.plots.pca_geometry": "lakeviz.studies.pca.figures",
    "lakeviz.plots.print.chromium": "lakeviz.plots.print.export",
    "lakeviz.plots.scored": "lakeviz.plots.curves",
    "lakeviz.plots.sweep": "lakeviz.studies.sweep.figures",
    "lakeviz.plots.sweep_contrasts": "lakeviz.studies.sweep.figures",
    "lakeviz.plots.sweep_grid": "lakeviz.studies.sweep.grid_figures",
    "lakeviz.plugins": "lakeviz.studies",
    "lakeviz.plugins.compare": "lakeviz.studies.hosts",
    "lakeviz.plugins.compare.study": "lakeviz.studies.hosts",
    "lakeviz.plugins.hosts": "lakeviz.studies.hosts.detectors",
    "lakeviz.plugins.score": "lakeviz.studies.score_maps",
    "lakeviz.plugins.score.predictions": "lakeviz.studies.score_maps.anomalib_predictions",
    "lakeviz.plugins.score.scoring": "lakeviz.studies.score_maps",
    "lakeviz.report.curves": "lakeviz.lake.figures",
    "lakeviz.report.run": "lakeviz.report.page_model",
    "lakeviz.report.sections.studies.dossier": "lakeviz.studies.dossier",
    "lakeviz.results": "lakeviz.studies",
    "lakeviz.studies.decompose.patch_figures": "lakeviz.studies.decompose.figures",
    "lakeviz.studies.hosts.detectors.winclip": "lakeviz.studies.hosts.detectors.image_hosts",
    "lakeviz.studies.hosts.detectors.zero_shot": "lakeviz.studies.hosts.detectors.image_hosts",
    "lakeviz.studies.pca.geometry_figures": "lakeviz.studies.pca.figures",
}
"""Modules and packages by their old name; what lies in a package has moved with it."""


class _Alias(Loader):
    """Loads a module that hands every name on from another one."""

    def __init__(self, new: str):
        self.new = new

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        warnings.warn(
            f"{module.__name__} is called {self.new} now; the old name goes with the next version",
            DeprecationWarning,
            stacklevel=2,
        )
        real = import_module(self.new)

        def hand_on(name: str) -> Any:
            return getattr(real, name)

        vars(module).update(__getattr__=hand_on, __doc__=real.__doc__, __path__=[])


class _Finder(MetaPathFinder):
    """Finds old names only: it is asked last."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        new = new_name(fullname)
        return None if new is None else ModuleSpec(fullname, _Alias(new), is_package=True)


def new_name(old: str) -> str | None:
    """Today's name of a module of the version before; None if it has not moved."""
    package, rest = old, ""
    while package:
        if package in MOVED:
            return MOVED[package] + rest
        package, _, last = package.rpartition(".")
        rest = f".{last}{rest}"
    return None


def install() -> None:
    """Let old names be imported."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def parameters(**new: str) -> Callable[[F], F]:
    """Decorate a function to take old names of parameters too (OLD=NEW), with a warning."""

    def decorate(function: F) -> F:
        @wraps(function)
        def call(*args: Any, **given: Any) -> Any:
            for old in new.keys() & given.keys():
                said = f"{old} of {function.__name__} is called {new[old]} now"
                warnings.warn(said, DeprecationWarning, stacklevel=2)
                given[new[old]] = given.pop(old)
            return function(*args, **given)

        return cast(F, call)

    return decorate
