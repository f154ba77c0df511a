"""Every error lakeviz raises on purpose.

One base class, so that a caller (and the command line) can tell "the input is wrong, and here is
what to do" from a bug. Each message names the file, point or value at fault and the way out.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping


class LakevizError(Exception):
    """Base class of all errors with a known cause; the command line exits with code 2 on it.

    Names in a message come from files: it is one line, of printable characters, and not endless.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(printable(" ".join(str(message).split("\n")), _LONGEST))


class DataError(LakevizError):
    """A data set could not be read as asked."""


class DatasetLayoutError(DataError):
    """The root is missing or its folders do not follow the layout that was named."""


class ImageReadError(DataError):
    """An image file is missing, truncated or not an image."""


class DepthError(ImageReadError):
    """A depth map is missing or unreadable, has no valid point, or is not its image's size."""


class MaskError(DataError):
    """A mask is missing, unreadable, or does not have its image's size."""


class FewShotError(DataError):
    """The normal images asked for cannot be drawn (none there, or fewer than the shots asked)."""


class ModelError(LakevizError):
    """A model could not be built or loaded."""


class UnknownModelError(ModelError):
    """No model of that name, or no pretrained tag of that name for the model."""


class CheckpointError(ModelError):
    """A checkpoint is unreadable or belongs to another architecture."""


class QuickGELUMismatchError(ModelError):
    """The weights were trained with QuickGELU and the architecture uses GELU, or the reverse."""


class DownloadError(ModelError):
    """Weights had to be downloaded and the network refused."""


class HookError(LakevizError):
    """A hook point was asked for in a way that cannot be served."""


class UnknownHookPointError(HookError):
    """No hook point of that name on this tower, or a filter that matches none."""


class HookDidNotFireError(HookError):
    """A requested point exists but its module was not called in this forward pass."""


class HookNotEditableError(HookError):
    """The point can be read but not edited."""


class CaptureTooLargeError(LakevizError):
    """A capture needs more memory or disk than is there, or everything was asked for unnamed."""


class StoreError(LakevizError):
    """An activation store is stale, foreign, damaged or incomplete."""


class ActivationError(LakevizError):
    """Activations are unusable: NaN, infinite, or of an unexpected shape."""


class SelectionError(LakevizError):
    """A neuron selection is impossible: k out of range, unknown selector, empty selection."""


class TextBranchError(LakevizError):
    """Text was asked of a tower that has no text encoder, or a prompt set is empty."""


class NotFittedError(LakevizError):
    """A detector was asked to score before it was fitted."""


class HostError(LakevizError):
    """A host detector is unknown, not installed, or cannot work with this tower or features."""


class MetricError(LakevizError):
    """A metric is undefined for this input; the message says which and why."""


class ConfigError(LakevizError):
    """An option has a value outside its range, or two options contradict each other."""


class OutputError(LakevizError):
    """Results could not be written (folder not writable, disk full, foreign files in the way)."""


_LONGEST = 1200


def printable(text: object, most: int | None = None) -> str:
    """Text for people: control characters escaped, the middle of a long one left out."""
    said = str(text)
    if not said.isprintable():
        said = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in said)
    if most is None or len(said) <= most:
        return said
    return f"{said[: most // 2]} ... {said[-most // 2 :]}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a "; nearest: ..." clause with the nearest of ``known``, or an empty string."""
    # The time of a comparison grows with the square of the length.
    close = difflib.get_close_matches(name[:200], list(known), n=5, cutoff=0.5)
    return f"; nearest: {', '.join(close)}" if close else ""


def no_attribute(owner: object, name: str, elsewhere: Mapping[str, str]) -> AttributeError:
    """Error of an unknown attribute; ``elsewhere`` says where users of other tools find theirs."""
    said = elsewhere.get(name)
    # Fields without a default are no attributes of their class.
    known = {*dir(type(owner)), *getattr(type(owner), "__dataclass_fields__", ())}
    hint = f"; {said}" if said else nearest(name, sorted(n for n in known if n[0] != "_"))
    return AttributeError(f"{type(owner).__name__} has no {name!r}{hint}", name=name, obj=owner)
