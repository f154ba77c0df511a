"""Known layouts with their readers and options, and :func:`read_dataset`.

The options of a reader are told by its signature and docstring, and read from ``key=value``.
"""

from __future__ import annotations

import inspect
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from lakeviz.data.dataset import Dataset, unknown_category
from lakeviz.data.files import describe, list_folders
from lakeviz.data.images import dark_images
from lakeviz.data.table import Sample, build_frame, check_masks, missing_normals
from lakeviz.errors import ConfigError, DataError, DatasetLayoutError, nearest
from lakeviz.settings import check_choice


@dataclass(frozen=True)
class ReaderOption:
    """An option of a reader."""

    name: str
    annotation: str  # its type, as in the code
    default: Any
    help: str

    @property
    def type(self) -> str:
        """The type in words."""
        words = {"Iterable": "names, by comma", "float": "number", "int": "whole number"}
        return next((w for kind, w in words.items() if kind in self.annotation), "text")

    def parse(self, text: str) -> Any:
        """Read a value of the command line."""
        if "Iterable" in self.annotation:
            return [name.strip() for name in text.split(",") if name.strip()]
        for kind in (float, int):
            if kind.__name__ in self.annotation:
                try:
                    return kind(text)
                except ValueError as error:
                    raise ConfigError(
                        f"{self.name} must be a {self.type}, got {text[:40]!r}"
                    ) from error
        return text


ON_MISSING_MASK = ReaderOption(
    "on_missing_mask",
    "str",
    "error",
    "What a defective image without a mask is: error, or none (it is read without).",
)


def options_of(made: Callable[..., Any]) -> dict[str, ReaderOption]:
    """Parameters with a default, by name, with the help of a docstring in numpy style."""
    described = _described(made.__doc__ or "")
    return {
        p.name: ReaderOption(p.name, str(p.annotation), p.default, described.get(p.name, ""))
        for p in inspect.signature(made).parameters.values()
        if p.default is not p.empty
    }


def check_options(layout: str, known: Iterable[str], given: Iterable[str]) -> None:
    """Refuse options that a reader does not have."""
    known = list(known)
    for name in given:
        if name not in known:
            raise ConfigError(
                f"{layout} has no option {name!r}{nearest(name, known)}; it has {', '.join(known)}"
            )


def parse_options(
    layout: str, known: Mapping[str, ReaderOption], given: Iterable[str]
) -> dict[str, Any]:
    """Read ``key=value`` texts as options of a reader."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        name = name.strip().replace("-", "_")
        if not equals:
            raise ConfigError(f"a reader's option is given as key=value, not {text!r}")
        check_options(layout, known, [name])
        if name in found:
            raise ConfigError(f"the reader's option {name} is given twice")
        found[name] = known[name].parse(value.strip())
    return found


def _described(docstring: str) -> dict[str, str]:
    """Text of each parameter of a docstring, as one line."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in inspect.cleandoc(docstring).partition("Parameters\n-")[2].splitlines():
        if line.startswith(" "):
            for name in names:
                found[name] = f"{found.get(name, '')} {line.strip()}".strip().replace("``", "")
        elif line.strip():
            names = [name.strip() for name in line.partition(" : ")[0].split(",")]
    return found


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """What a reader found: the samples, the folder their ids are relative to, and remarks.

    ``unused_masks`` are masks that belong to no image, by category.
    """

    root: Path
    samples: Sequence[Sample]
    notes: tuple[str, ...] = ()
    masks_looked_for: str = "a mask with the image's stem"
    unused_masks: Mapping[str, Sequence[Path]] = field(default_factory=dict)


Reader = Callable[..., Reading]


@dataclass(frozen=True)
class Layout:
    """A reader with what a user should know of the data it reads."""

    name: str
    title: str
    layout: str
    license: str
    homepage: str
    citation: str
    read: Reader = field(repr=False)
    detect: Callable[[Path], bool] | None = field(default=None, repr=False)
    rules: type | None = field(default=None, repr=False)

    @property
    def options(self) -> dict[str, ReaderOption]:
        """Options of the reader, from its signature and docstring, with those of every reader."""
        own = options_of(self.read) | (options_of(self.rules) if self.rules else {})
        return own | {ON_MISSING_MASK.name: ON_MISSING_MASK}


_LAYOUTS: dict[str, Layout] = {}


def register_reader(
    name: str,
    *,
    title: str,
    layout: str,
    license: str = "",
    homepage: str = "",
    citation: str = "",
    detect: Callable[[Path], bool] | None = None,
    rules: type | None = None,
) -> Callable[[Reader], Reader]:
    """Register a reader under a name; to be used as a decorator.

    The reader is called as ``read(root, categories, **options)``, with ``root`` as the user gave
    it and ``categories`` a list of names or None for all; its keyword-only parameters are the
    options that :func:`read_dataset` passes on, and its docstring is their help. It returns a
    :class:`Reading`.

    Parameters
    ----------
    name
        Name for :func:`read_dataset`, in lower case.
    title, layout, license, homepage, citation
        Columns of :func:`datasets_table`.
    detect
        Tells cheaply whether a folder has this layout, for ``read_dataset("auto", ...)``.
    rules
        Dataclass whose fields are further options, taken by the reader as ``**rules``.

    Raises
    ------
    ConfigError
        The name is taken.
    """

    def register(read: Reader) -> Reader:
        if name in _LAYOUTS:
            raise ConfigError(f"a reader called {name!r} is already registered")
        said = (name, title, layout, license, homepage, citation)
        _LAYOUTS[name] = Layout(*said, read, detect, rules)
        return read

    return register


def read_dataset(
    name: str | None,
    root: str | Path,
    *,
    categories: Iterable[str] | None = None,
    on_missing_mask: str = "error",
    **options: Any,
) -> Dataset:
    """Read a data set from a folder (or file) in one of the known layouts.

    Parameters
    ----------
    name
        Name of the layout, see :func:`datasets_table`; ``"auto"`` or None finds it out where the
        folder allows only one answer.
    root
        Folder with the data as published (for ``"csv"`` the file).
    categories
        Names of the categories to read; None for all.
    on_missing_mask
        ``"error"``, or ``"none"`` to read a defective image without its mask. A category without
        any mask is always read, as labelled at image level.
    **options
        Options of this layout, such as ``split_seed``.

    Raises
    ------
    DataError
        No such layout or category; the message gives the nearest names.
    DatasetLayoutError
        The root is missing or laid out otherwise; the message says what was looked for and found.
    MaskError
        A defective image has no mask though others of its category do.
    ConfigError
        The layout has no such option, or an option has an impossible value.
    """
    chosen = reader_of(name, root)
    check_options(chosen.name, chosen.options, options)
    wanted = [categories] if isinstance(categories, str) else categories
    reading = chosen.read(root, None if wanted is None else list(wanted), **options)
    return assemble(chosen.name, reading, on_missing_mask, chosen.license, chosen.citation)


def assemble(
    name: str, reading: Reading, on_missing_mask: str, license: str, citation: str
) -> Dataset:
    """Make the data set of what a reader found."""
    checked = check_masks(
        reading.samples, on_missing_mask, reading.masks_looked_for, reading.unused_masks
    )
    images, depths = defaultdict(list), defaultdict(list)
    for s in reading.samples:
        images[s.category].append(s.path)
        if s.depth:
            depths[s.category].append(s.depth)
    notes = (
        *reading.notes,
        *checked,
        *missing_normals(reading.samples),
        *dark_images(images),
    )
    if depths:
        from lakeviz.data.depth_files import depth_notes  # tifffile, scipy

        notes += tuple(depth_notes(depths))
    for note in notes:
        logger.info("%s: %s", name, note)
    frame = build_frame(reading.samples, reading.root)
    return Dataset(name, reading.root, frame, license, citation, notes)


def get_layout(name: str) -> Layout:
    """Return the layout called ``name`` (case, and ``-`` for ``_``, do not matter).

    Raises
    ------
    DataError
        No such layout.
    """
    key = name.lower().replace("-", "_")
    check_choice("the layout of a data set", key, sorted(_LAYOUTS), DataError)
    return _LAYOUTS[key]


def reader_defaults(name: str) -> dict[str, Any]:
    """Options of a layout that have a default, such as ``split_seed``."""
    return {name: option.default for name, option in get_layout(name).options.items()}


def reader_of(name: str | None, root: str | Path) -> Layout:
    """Return the layout called ``name``, or the one that ``root`` has for ``"auto"`` and None."""
    return detect_layout(root) if name in (None, "auto") else get_layout(name)


def detect_layout(root: str | Path) -> Layout:
    """Find the one layout that a folder can have.

    Raises
    ------
    DatasetLayoutError
        None fits, or several do.
    """
    path = Path(root).expanduser().absolute()
    known = dict(sorted(_LAYOUTS.items()))
    fitting = [name for name, one in known.items() if one.detect and one.detect(path)]
    if len(fitting) == 1:
        return known[fitting[0]]
    raise DatasetLayoutError(
        f"cannot tell the layout of {path} (fitting: {', '.join(fitting) or 'none'}); name one of "
        f"{', '.join(known)}. {describe(path)}"
    )


def datasets_table() -> pd.DataFrame:
    """Known layouts: name, title, layout, license, homepage and citation."""
    columns = ["name", "title", "layout", "license", "homepage", "citation"]
    rows = [[getattr(layout, c) for c in columns] for _, layout in sorted(_LAYOUTS.items())]
    return pd.DataFrame(rows, columns=columns)


def as_names(given: str | Path | Iterable[str | Path] | None) -> list[str]:
    """Return one name or several as a list."""
    return [str(given)] if isinstance(given, str | Path) else [str(name) for name in given or ()]


def choose(known: Sequence[str], wanted: Sequence[str] | None, dataset: str) -> list[str]:
    """Return the wanted ones of the ``known`` categories, or all."""
    for name in wanted or ():
        if name not in known:
            raise DataError(unknown_category(name, known, dataset))
    return list(known) if wanted is None else list(dict.fromkeys(wanted))


def not_a_folder_of(dataset: str, looked_for: str, root: Path) -> DatasetLayoutError:
    """Error for a root that has not the folders of a layout."""
    return DatasetLayoutError(
        f"not a folder of {dataset}: looked for {looked_for}; {describe(root)}"
    )


def category_folders(
    root: Path,
    is_category: Callable[[Path], bool],
    wanted: Sequence[str] | None,
    dataset: str,
    looked_for: str,
) -> dict[str, Path]:
    """Find the folders of the wanted categories: sub-folders of ``root``, or ``root`` itself."""
    folders = [root] if is_category(root) else [f for f in list_folders(root) if is_category(f)]
    found = {folder.name: folder for folder in folders}
    if not found:
        raise not_a_folder_of(dataset, looked_for, root)
    return {name: found[name] for name in choose(list(found), wanted, dataset)}
