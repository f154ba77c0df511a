"""What a run depends on, as plain data; and the images and the model that it names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeviz.data import Dataset, FewShotDraw, read_dataset
from lakeviz.errors import ConfigError
from lakeviz.lake.options import LakeOptions, VisualOptions
from lakeviz.lake.provenance import as_plain

if TYPE_CHECKING:
    from lakeviz.models import VisionModel

_LATER = {"center", "reference", "selection_scope"}


@dataclass(frozen=True)
class RunSpec:
    """Everything a run depends on, as plain data; the manifest is this plus what came out.

    Parameters
    ----------
    dataset : str
        Reader.
    root : str or path
        Folder; kept as text.
    model : str
        Model name.
    pretrained : str or bool, optional
        Tag, weights file, or ``True`` for timm's own.
    image_size : (height, width), optional
        The model's own by default.
    precision, device : str
    categories : tuple of str, optional
        All by default.
    shots : int or "all"
        Normal images per category.
    seed : int
        Seed of the few-shot draw; also of selectors unless the options say otherwise.
    few_shot_lists : dict of category to tuple of str
        Images given by hand instead of drawn.
    options : LakeOptions
    random_controls : int
        Draws of each random control.
    controls : tuple of str
        Selectors the detector's own neurons are compared with, at the same size.
    reader_options : dict
        Further options of the reader.
    """

    dataset: str
    root: str | Path
    model: str = "tiny"
    pretrained: str | bool | None = None
    image_size: tuple[int, int] | None = None
    precision: str = "fp32"
    device: str = "cpu"
    categories: tuple[str, ...] | None = None
    shots: int | str = 4
    seed: int = 0
    few_shot_lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    options: LakeOptions = field(default_factory=LakeOptions)
    random_controls: int = 5
    controls: tuple[str, ...] = ("random", "bottom_variance", "variance_matched", "pca", "all")
    reader_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A Path is taken too; a manifest holds text.
        object.__setattr__(self, "root", str(self.root))

    def to_plain(self) -> dict[str, Any]:
        """Return the spec as JSON types."""
        return as_plain(self)

    @classmethod
    def from_plain(cls, data: dict[str, Any]) -> RunSpec:
        """Restore what :meth:`to_plain` gave.

        Raises
        ------
        ConfigError
            If a setting is unknown or missing.
        """
        data = dict(data)
        try:
            data["options"] = LakeOptions.from_plain(data["options"])
            for name in ("image_size", "categories", "controls"):
                data[name] = None if data[name] is None else tuple(data[name])
            data["few_shot_lists"] = {c: tuple(p) for c, p in data["few_shot_lists"].items()}
            return cls(**data)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"this manifest's settings cannot be read: {error}") from error

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> RunSpec:
        """Settings of a run from its manifest, with the very images it was fitted on.

        Raises
        ------
        ConfigError
            If a setting is unknown or missing.
        """
        spec = cls.from_plain(manifest["spec"])
        lists = {
            c: tuple(d["few_shot"]["sample_ids"]) for c, d in manifest.get("categories", {}).items()
        }
        if spec.options.k is None:  # decided by the width of the tower, when the run was made
            spec = replace(spec, options=replace(spec.options, k=manifest.get("k")))
        return replace(spec, few_shot_lists=lists, categories=tuple(lists) or spec.categories)

    def control_specs(self) -> list[tuple[str, int]]:
        """(selector, seed) of every control member."""
        from lakeviz.lake.selectors import get_selector

        specs = []
        for name in self.controls:
            draws = self.random_controls if get_selector(name).is_random else 1
            specs += [(name, self.seed + i) for i in range(draws)]
        return specs

    @property
    def digest(self) -> str:
        """SHA-256 of the settings that numbers depend on (where the data lie is not one)."""
        plain = self.to_plain()
        for name in ("root", "categories", "device"):
            plain.pop(name)
        # Settings that came later are left out at their defaults, so that older runs go on.
        for part, of in (
            (VisualOptions, plain["options"]["visual"]),
            (LakeOptions, plain["options"]),
        ):
            for name in _LATER & of.keys():
                if of[name] == part.__dataclass_fields__[name].default:
                    del of[name]
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def read_data(self) -> Dataset:
        """Read the data set."""
        return read_dataset(self.dataset, self.root, **self.reader_options)

    def draw_normals(self, dataset: Dataset, category: str) -> FewShotDraw:
        """Draw the normal images of one category, or take the ones listed."""
        own = dataset.category(category)
        listed = self.few_shot_lists.get(category)
        if listed is None:
            return own.few_shot(self.shots, self.seed)
        return FewShotDraw.from_listed(listed, own)

    def load_model(self) -> VisionModel:
        """Load the model."""
        from lakeviz.models import load_model

        return load_model(
            self.model,
            self.pretrained,
            device=self.device,
            precision=self.precision,
            image_size=self.image_size,
        )
