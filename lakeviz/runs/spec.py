"""What a run depends on, as plain data; and the images and the model that it names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakeviz.data import Dataset, FewShotDraw, read_dataset
from lakeviz.data.registry import reader_defaults
from lakeviz.documents import restored
from lakeviz.errors import ConfigError
from lakeviz.lake.options import LakeOptions, VisualOptions
from lakeviz.lake.provenance import as_plain
from lakeviz.runs.manifest import DEFAULT_CONTROLS, OTHER_CATEGORY, Manifest
from lakeviz.selector_names import RENAMED, SHUFFLED

if TYPE_CHECKING:
    from lakeviz.models import VisionModel


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
    preprocess : str, optional
        Tag or configuration file whose preprocessing the weights have, where it is not known.
    quick_gelu : bool, optional
        Whether the activation is QuickGELU, where the name of the weights says otherwise.
    categories : tuple of str, optional
        All by default.
    shots : int or "all"
        Normal images per category.
    draws : int, optional
        Draws of the normal images that results are over; they share no image. By default 5, or as
        many as the normal images of a category allow.
    seed : int
        Of the draws of normal images.
    few_shot_lists : dict of category to tuple of tuples of str
        Images given by hand instead of drawn, one tuple per draw.
    options : LakeOptions
    random_controls : int
        Sets of each random control; ``options.seed`` is the seed of the first.
    bootstrap_seed : int
        Of the resamples of the test images.
    untrained : int
        Untrained towers (the same architecture with random weights) to compare with.
    controls : tuple of str
        What the detector is compared with: selectors, of the same size where they have one,
        ``"other_category"``, the neurons selected on another category, and ``"shuffled_frames"``,
        the detector where the frames of each clip are in random order, to fit and to test.
    reader_options : dict
        Further options of the reader.
    aspect : str
        How images become inputs of the model: ``squash``, ``letterbox`` or ``crop``.
    """

    LATER = frozenset(
        {"draws", "bootstrap_seed", "untrained", "aspect", "preprocess", "quick_gelu"}
    )
    """Settings that manifests of earlier versions do not have."""

    dataset: str
    root: str | Path
    model: str = "tiny"
    pretrained: str | bool | None = None
    image_size: tuple[int, int] | None = None
    precision: str = "fp32"
    device: str = "cpu"
    categories: tuple[str, ...] | None = None
    shots: int | str = 4
    draws: int | None = None
    seed: int = 0
    few_shot_lists: dict[str, tuple[tuple[str, ...] | str, ...]] = field(default_factory=dict)
    options: LakeOptions = field(default_factory=lambda: LakeOptions())
    random_controls: int = 5
    controls: tuple[str, ...] = DEFAULT_CONTROLS
    bootstrap_seed: int = 0
    untrained: int = 0
    reader_options: dict[str, Any] = field(default_factory=dict)
    aspect: str = "squash"
    preprocess: str | None = None
    quick_gelu: bool | None = None

    def __post_init__(self) -> None:
        # A Path is taken too; a manifest holds text. Images of a single draw need no inner tuple.
        object.__setattr__(self, "root", str(self.root))
        lists = {c: _draws(listed) for c, listed in self.few_shot_lists.items()}
        object.__setattr__(self, "few_shot_lists", lists)
        for name in ("seed", "bootstrap_seed", "untrained"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be 0 or more, not {getattr(self, name)}")
        if self.draws is not None and self.draws < 1:
            raise ConfigError(f"draws must be 1 or more, not {self.draws}")

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
        spec = restored(cls, data, "spec")
        return replace(spec, controls=tuple(RENAMED.get(c, c) for c in spec.controls))

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any]) -> RunSpec:
        """Settings of a run from its manifest, with the very images it was fitted on.

        Raises
        ------
        ConfigError
            If a setting is unknown or missing.
        """
        manifest = restored(Manifest, manifest)
        spec = cls.from_plain(manifest["spec"])
        lists = {}
        for category, entry in manifest.get("categories", {}).items():
            fit = entry["few_shot"]
            # A run of protocol 1 or 2 has one draw.
            lists[category] = tuple(tuple(d) for d in fit.get("draws") or [fit["sample_ids"]])
        if spec.options.k is None:  # decided by the width of the tower, when the run was made
            spec = replace(spec, options=replace(spec.options, k=manifest.get("k")))
        return replace(spec, few_shot_lists=lists, categories=tuple(lists) or spec.categories)

    def control_specs(self) -> list[tuple[str, int]]:
        """(selector, seed) of every control member."""
        from lakeviz.lake.selectors import expand_selectors, get_selector

        specs = []
        named = [name for name in self.controls if name not in (OTHER_CATEGORY, SHUFFLED)]
        for name in expand_selectors(named):
            sets = self.random_controls if get_selector(name).is_random else 1
            specs += [(name, self.options.seed + i) for i in range(sets)]
        return specs

    def split_seed(self, dataset: Dataset) -> int | None:
        """Seed of the split that was used; None where the data set brings its own split."""
        return (reader_defaults(dataset.name) | self.reader_options).get("split_seed")

    def seeds(self, dataset: Dataset) -> dict[str, int | None]:
        """Every seed in use: of the draws, the random sets, the resamples, and the split."""
        return {
            "draw": self.seed,
            "sets": self.options.seed,
            "bootstrap": self.bootstrap_seed,
            "split": self.split_seed(dataset),
        }

    @property
    def digest(self) -> str:
        """SHA-256 of the settings that numbers depend on (where the data lie is not one)."""
        plain = self.to_plain()
        for name in ("root", "categories", "device"):
            plain.pop(name)
        # Settings that came later are left out at their defaults, so that older runs go on.
        for name in ("aspect", "preprocess", "quick_gelu"):
            if plain[name] == self.__dataclass_fields__[name].default:
                del plain[name]
        for part, of in (
            (VisualOptions, plain["options"]["visual"]),
            (LakeOptions, plain["options"]),
            (RunSpec, plain),
        ):
            for name in part.LATER & of.keys():
                if of[name] == part.__dataclass_fields__[name].default:
                    del of[name]
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()

    def read_data(self) -> Dataset:
        """Read the data set."""
        return read_dataset(self.dataset, self.root, **self.reader_options)

    def draw_normals(self, dataset: Dataset, category: str) -> list[FewShotDraw]:
        """Draw the normal images of one category, once or several times, or take those listed."""
        own = dataset.category(category)
        listed = self.few_shot_lists.get(category)
        if listed is None:
            return own.few_shot_draws(self.shots, self.seed, self.draws)
        return [FewShotDraw.from_listed(names, own) for names in listed]

    def require_files(self) -> None:
        """Refuse weights, a folder or a preprocessing that are not there, before torch is loaded.

        Raises
        ------
        ModelError, ConfigError
            As :func:`lakeviz.models.load.files.require_files`.
        """
        from lakeviz.models.load.files import require_files

        require_files(self.model, self.pretrained, self.preprocess)

    def load_model(self) -> VisionModel:
        """Load the model."""
        self.require_files()
        from lakeviz.models import load_model

        return load_model(
            self.model,
            self.pretrained,
            device=self.device,
            precision=self.precision,
            image_size=self.image_size,
            aspect=self.aspect,
            quick_gelu=self.quick_gelu,
            preprocess=self.preprocess,
        )


def _draws(listed: Sequence[Any]) -> tuple[tuple[str, ...], ...]:
    """Lists of images, one per draw; a flat list is one draw."""
    if listed and isinstance(listed[0], str):
        return (tuple(listed),)
    return tuple(tuple(names) for names in listed)
