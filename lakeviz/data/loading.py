"""Batches of decoded and transformed images, in order, from worker processes.

With :mod:`lakeviz.data.inputs` the only file of this floor that needs torch.
"""

from __future__ import annotations

import logging
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from lakeviz.data.dataset import Dataset
from lakeviz.data.inputs import ImageItems, Preprocessed, as_images
from lakeviz.errors import ConfigError, DataError, ImageReadError
from lakeviz.settings import usable_cores

logger = logging.getLogger(__name__)

Transform = Callable[[Image.Image], Tensor]

_HANDFUL = 64  # below this many images, starting workers takes longer than decoding
_MOST_WORKERS = 4


@dataclass(frozen=True)
class ImageBatch:
    """Consecutive images, transformed.

    Attributes
    ----------
    indices
        Positions in the data set, ascending.
    sample_ids
        Names of the images.
    images
        What the transform made of them.
    sizes
        Height and width of each image before the transform, upright, in pixels.
    renderings
        What the transform made of the renderings of each depth map that were asked for.
    """

    indices: tuple[int, ...]
    sample_ids: tuple[str, ...]
    images: Float[Tensor, "image 3 height width"]
    sizes: tuple[tuple[int, int], ...]
    renderings: dict[str, Float[Tensor, "image 3 height width"]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.indices)


class ImageBatches:
    """Iterate over images in batches, in order; may be iterated several times.

    Parameters
    ----------
    images
        A data set, paths of images, or what else :func:`~lakeviz.data.inputs.as_images` takes.
    transform
        Makes a tensor of shape [3, height, width] from an RGB image, of one shape in all images of
        a batch; a model's preprocessing. It must be picklable where workers are spawned.
    batch_size
        Images per batch; the last batch, and batches with skipped images, are smaller.
    workers
        Worker processes; 0 decodes in this process. By default 0 for fewer than 64 files or images
        in memory, and else the number of usable cores, 4 at most.
    skip_bad
        Go on past unreadable images and list them in ``skipped``, instead of raising.
    progress
        Show a progress bar, labelled with this text if it is one.
    renderings
        Renderings of the depth maps that are loaded beside the images.
    start_method
        How workers start: "fork", "forkserver" or "spawn". By default "fork" on Linux (workers
        only decode, on one thread, and touch no GPU) and "spawn" elsewhere, where a script needs
        ``if __name__ == "__main__":``.

    Attributes
    ----------
    skipped : list of (path or name, str)
        Unreadable images of the latest iteration, with the reasons.

    Raises
    ------
    ConfigError
        ``batch_size`` or ``workers`` is out of range.
    ImageReadError
        While iterating: an image cannot be read, and ``skip_bad`` is false.
    DataError
        While iterating: the transform fails or gives something else than equally shaped
        [3, height, width] tensors, the frames of a clip change their size, or a worker process
        dies.
    """

    def __init__(
        self,
        images: Dataset | ImageItems | Sequence[str | Path],
        transform: Transform,
        batch_size: int = 32,
        *,
        workers: int | None = None,
        skip_bad: bool = False,
        progress: bool | str = False,
        renderings: Sequence[str] = (),
        start_method: str | None = None,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"batch_size must be at least 1, got {batch_size}")
        if workers is not None and workers < 0:
            raise ConfigError(f"workers must be 0 or more, got {workers}")
        items = ImageItems([], []) if not len(images) else as_images(images)
        assert not isinstance(items, Preprocessed)
        self.items, self.sample_ids = items, items.sample_ids
        self.transform = transform
        self.renderings = tuple(renderings)
        self.batch_size = batch_size
        few = 0 if items.in_memory else len(items)
        self.workers = default_workers(few) if workers is None else workers
        self.skip_bad = skip_bad
        self.progress = progress
        self.start_method = start_method or ("fork" if sys.platform == "linux" else "spawn")
        self.skipped: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return -(-len(self.items) // self.batch_size)

    def __iter__(self) -> Iterator[ImageBatch]:
        self.skipped = []
        sizes: dict[str, tuple[tuple[int, int], str]] = {}
        label = self.progress if isinstance(self.progress, str) else None
        total = len(self.items)
        decoder = _Decoder(self.items, self.transform, self.renderings)
        start = self._from_workers if self.workers else self._from_here
        with (
            closing(start(decoder)) as loaded,  # also stops the workers when the caller breaks off
            tqdm(
                total=total, desc=label, unit="image", leave=None, disable=not self.progress
            ) as bar,
        ):
            for part in loaded:
                self._note_failures(part)
                if part.images is not None:
                    self._require_one_size(part, sizes)
                    ids = tuple(self.sample_ids[i] for i in part.indices)
                    views = dict(zip(self.renderings, part.images[1:], strict=True))
                    yield ImageBatch(part.indices, ids, part.images[0], part.sizes, views)
                bar.update(len(part.indices) + len(part.failures))

    def _require_one_size(
        self, part: _Loaded, sizes: dict[str, tuple[tuple[int, int], str]]
    ) -> None:
        """Refuse a clip whose frames change their size; ``sizes`` holds the first frame of each."""
        for index, size in zip(part.indices, part.sizes) if self.items.frames else ():
            clip, name = self.items.frames[index][0], self.sample_ids[index]
            first, where = sizes.setdefault(clip, (size, name))
            if size != first:
                raise DataError(
                    f"{name} is {size[1]}x{size[0]} (width x height) and {where} of the same clip "
                    f"{first[1]}x{first[0]}; scale the frames of a clip to one size"
                )

    def _from_here(self, decoder: _Decoder) -> Generator[_Loaded]:
        for start in range(0, len(decoder), self.batch_size):
            with _one_thread():
                stop = min(start + self.batch_size, len(decoder))
                part = _collate([decoder[i] for i in range(start, stop)])
            yield part

    def _from_workers(self, decoder: _Decoder) -> Generator[_Loaded]:
        loader = DataLoader(
            decoder,  # pyright: ignore[reportArgumentType]
            batch_size=self.batch_size,
            num_workers=self.workers,
            collate_fn=_collate,
            worker_init_fn=_leave_interrupts_to_parent,
            multiprocessing_context=self.start_method,
            generator=torch.Generator(),  # else seeding the workers draws from the global one
        )
        try:
            with warnings.catch_warnings():
                # Python 3.12 warns of forks of threaded processes; our workers take no lock.
                warnings.filterwarnings("ignore", ".*use of fork.*", DeprecationWarning)
                parts = iter(loader)
            yield from parts
        except RuntimeError as error:
            if "DataLoader worker (pid" not in str(error):
                raise
            raise DataError(
                f"a worker process died while loading images ({error}); pass workers=0, or a "
                "smaller batch_size if shared memory (/dev/shm) is short"
            ) from error.with_traceback(None)  # whose frames would keep the other workers alive

    def _note_failures(self, part: _Loaded) -> None:
        if part.fatal:
            raise DataError(part.fatal)
        for index, reason in part.failures:
            if not self.skip_bad:
                raise ImageReadError(reason)
            logger.warning("skipped: %s", reason)
            self.skipped.append((str(self.items.items[index]), reason))


def default_workers(images: int) -> int:
    """Worker processes worth starting for this many images."""
    if images < _HANDFUL:
        return 0
    return min(usable_cores(), _MOST_WORKERS)


@dataclass(frozen=True)
class _Decoded:
    index: int
    name: str
    size: tuple[int, int] = (0, 0)
    tensor: Tensor | None = None  # [view, 3, height, width]: the image, and its renderings
    failure: str = ""  # of the image: may be skipped
    fatal: str = ""  # of the transform: may not


@dataclass(frozen=True)
class _Loaded:
    """A batch as it comes from a worker. Errors travel as text, for torch would wrap exceptions."""

    indices: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...]
    images: Tensor | None  # [view, image, 3, height, width]
    failures: tuple[tuple[int, str], ...] = ()
    fatal: str = ""


@dataclass(frozen=True)
class _Decoder:
    """Map-style data set of torch: decode and transform image number ``index``."""

    images: ImageItems
    transform: Transform
    renderings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> _Decoded:
        name = self.images.sample_ids[index]
        try:
            image = self.images.load(index)
            views = [image, *(self.images.rendering(index, how) for how in self.renderings)]
            return _Decoded(index, name, (image.height, image.width), self._made(views, name))
        except ImageReadError as error:
            return _Decoded(index, name, failure=str(error))
        except DataError as error:
            return _Decoded(index, name, fatal=str(error))

    def _made(
        self, views: Sequence[Image.Image], name: str
    ) -> Float[Tensor, "view 3 height width"]:
        try:
            made = [self.transform(view) for view in views]
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            raise DataError(
                f"the transform failed on {name}: {type(error).__name__}: {error} "
                f"({place.filename}, line {place.lineno})"
            ) from error
        for one in made:
            if not isinstance(one, Tensor):
                raise DataError(f"the transform made {type(one).__name__}, not a tensor, of {name}")
            if one.ndim != 3 or one.shape[0] != 3:
                said = f"{list(one.shape)}, not [3, height, width]"
                raise DataError(f"the transform made {said}, of {name}")
        if len({one.shape for one in made}) > 1:
            raise DataError(f"the transform made {[list(one.shape) for one in made]} of {name}")
        return torch.stack(made)


def _collate(items: list[_Decoded]) -> _Loaded:
    failures = tuple((item.index, item.failure) for item in items if item.failure)
    good = [item for item in items if not item.failure]
    indices, sizes = tuple(i.index for i in good), tuple(i.size for i in good)
    fatal = next((f for item in good if (f := _fatal(item, good[0]))), "")
    images = None
    if good and not fatal:
        images = torch.stack([item.tensor for item in good if item.tensor is not None], dim=1)
    return _Loaded(indices, sizes, images, failures, fatal)


def _fatal(item: _Decoded, first: _Decoded) -> str:
    if item.fatal:
        return item.fatal
    assert item.tensor is not None
    if first.tensor is not None and item.tensor.shape != first.tensor.shape:
        return (
            f"the transform made {list(item.tensor.shape[1:])} of {item.name} and "
            f"{list(first.tensor.shape[1:])} of {first.name}; let it resize, or use batch_size=1"
        )
    return ""


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread, as workers do.

    One image is too little work to share: on a busy machine the threads of a transform wait for
    each other ten times longer than they compute.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _leave_interrupts_to_parent(worker: int) -> None:
    # Ctrl-C reaches the whole process group; the parent stops the workers by itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
