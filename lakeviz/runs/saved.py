"""Results on disk as figures and tables are made from: a run, one category of it, or a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lakeviz.data.dataset import unknown_category
from lakeviz.errors import ConfigError, DataError, StoreError
from lakeviz.files import read_json
from lakeviz.runs.run import MANIFEST, spec_from_manifest
from lakeviz.runs.storage import load_evaluation

if TYPE_CHECKING:
    from lakeviz.lake.evaluation import Evaluation

EVALUATION, STUDY, STUDIES = "evaluation.json", "study.json", "studies"


@dataclass(frozen=True)
class SavedCategory:
    """One evaluated category. Its tables are read as they are needed, without the images.

    Attributes
    ----------
    name : str
    folder : Path
    manifest : Path, optional
        Of its run, which knows where the data lie.
    """

    name: str
    folder: Path
    manifest: Path | None = None

    def table(self, name: str) -> pd.DataFrame:
        """One table: metrics, scores, controls, neurons or spectrum, with a category column.

        Raises
        ------
        StoreError
            If it is missing or damaged.
        """
        path = self.folder / f"{name}.parquet"
        try:
            found = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise StoreError(f"cannot read {path}: {error}") from error
        return found if "category" in found else found.assign(category=self.name)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What made it."""
        return read_json(self.folder / EVALUATION)["provenance"]

    def evaluation(self, root: str | Path | None = None) -> Evaluation:
        """Read all of it, with the data it was made on.

        Parameters
        ----------
        root : path, optional
            Where the data lie now, if they have moved.

        Raises
        ------
        StoreError
            If the run it belongs to is not found, or the data are others.
        """
        from lakeviz.data import read_dataset

        if self.manifest is None:
            raise StoreError(
                f"{self.folder} lies in no run, so its images are not known; leave it in the "
                "folder of its run"
            )
        spec = spec_from_manifest(self.manifest)
        data = read_dataset(spec.dataset, root or spec.root, **spec.reader_options)
        return load_evaluation(self.folder, data.category(self.name))


@dataclass(frozen=True)
class Saved:
    """A folder with results.

    Attributes
    ----------
    folder : Path
    categories : list of SavedCategory
        Empty for the folder of a study.
    """

    folder: Path
    categories: list[SavedCategory] = field(default_factory=list)

    def chosen(self, names: Sequence[str]) -> list[SavedCategory]:
        """Some of the categories, in the order named, or all.

        Raises
        ------
        DataError
            If one is not there.
        """
        known = {category.name: category for category in self.categories}
        for name in names:
            if name not in known:
                raise DataError(unknown_category(name, list(known), str(self.folder)))
        return [known[name] for name in names] or self.categories

    def one(self, names: Sequence[str]) -> SavedCategory:
        """Return the only category, or the one named.

        Raises
        ------
        ConfigError
            If there are several.
        """
        found = self.chosen(names)
        if len(found) != 1:
            raise ConfigError(
                f"this figure shows one category: name it with --category, of "
                f"{', '.join(category.name for category in found)}"
            )
        return found[0]

    def study(self, name: str) -> Path:
        """Folder of a study.

        Raises
        ------
        StoreError
            If it was not run.
        """
        if (self.folder / STUDY).is_file():
            found = read_json(self.folder / STUDY).get("study")
            if found != name:
                raise StoreError(f"{self.folder} holds a study {found!r}, not {name!r}")
            return self.folder
        if not (self.folder / STUDIES / name / STUDY).is_file():
            raise StoreError(
                f"{self.folder} holds no study {name!r}; it has {', '.join(self.studies) or 'none'}"
            )
        return self.folder / STUDIES / name

    @property
    def studies(self) -> list[str]:
        """Names of the studies that were run."""
        if (self.folder / STUDY).is_file():
            return [str(read_json(self.folder / STUDY).get("study"))]
        return sorted(path.parent.name for path in (self.folder / STUDIES).glob(f"*/{STUDY}"))


def open_saved(folder: str | Path) -> Saved:
    """Look at what a folder holds.

    Parameters
    ----------
    folder : path
        Of a run, of one category in it, or of a study.

    Raises
    ------
    StoreError
        If it holds none of these, or a run with no finished category.
    """
    folder = Path(folder)
    if (folder / STUDY).is_file():
        return Saved(folder)
    if (folder / EVALUATION).is_file():
        manifest = next((p / MANIFEST for p in folder.resolve().parents if _is_run(p)), None)
        return Saved(folder, [_category(folder, manifest)])
    if _is_run(folder):
        entries = read_json(folder / MANIFEST).get("categories", {})
        found = [folder / entry["folder"] for entry in entries.values()]
        if not found:
            raise StoreError(f"the run in {folder} has no finished category yet")
        return Saved(folder, [_category(path, folder / MANIFEST) for path in found])
    raise StoreError(
        f"{folder} holds no result: it should be the folder of a run ({MANIFEST}), of one of its "
        f"categories ({EVALUATION}) or of a study ({STUDY})"
    )


def _is_run(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def _category(folder: Path, manifest: Path | None) -> SavedCategory:
    return SavedCategory(read_json(folder / EVALUATION)["category"], folder, manifest)
