"""How far a long command is: conditions measured of how many, and the time that is left.

A study opens a :class:`Progress` over its categories, says with :func:`expect` how many conditions
it measures of one, and what measures a condition calls :func:`step`. Without an open one both do
nothing. A bar is drawn on a terminal only; a file or a pipe gets one line per category.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, TypeVar

from tqdm.auto import tqdm

Part = TypeVar("Part")
_MANY, _BRIEFLY, _LONG = 24, 3.0, 15.0
"""The time of the rest is said after so many conditions and seconds, or after more seconds.

Conditions may come in batches, and the first takes longer than the others: libraries are loaded.
"""
CONDITIONS = "conditions"
_open: ContextVar[Progress | None] = ContextVar("progress", default=None)


def expect(n: int, n_draws: int = 1, of: str = CONDITIONS) -> None:
    """Say how many conditions, or ``of`` what, the study measures of this category by draw."""
    if (progress := _open.get()) is not None:
        progress.expect(n, n_draws, of)


def step(n: int = 1, of: str = CONDITIONS) -> None:
    """Say that some were measured, or read back from before a kill; others do not count."""
    if (progress := _open.get()) is not None and progress.unit == of:
        progress.step(n)


class Progress:
    """Counts conditions of a study, or what else is done, over its parts, such as categories.

    ``say`` is told a line when a part begins, and what the whole will cost when that is known. A
    ``bar`` is drawn where there is a terminal, or a notebook.
    """

    def __init__(
        self,
        what: str,
        parts: Sequence[str],
        say: Callable[[str], None] | None = None,
        *,
        bar: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.what, self.parts, self.clock = what, parts, clock
        self.unit = CONDITIONS
        self.say = say or (lambda line: None)
        self._shown = bar
        self._bar: Any = None
        self._counts: list[int] = []  # conditions of the parts that are finished
        self._took: list[float] = []  # and their seconds
        self._of_part = self._expected = 0
        self._begun = self._since = clock()
        self._said_time = False

    @property
    def made(self) -> int:
        """Conditions so far."""
        return sum(self._counts) + self._of_part

    @property
    def total(self) -> int | None:
        """Conditions of all parts; None where nothing was expected and no part has any yet."""
        counted = [n for n in self._counts if n]  # not those that were read back
        each = self._expected or (sum(counted) // len(counted) if counted else 0)
        after = len(self.parts) - len(self._counts) - 1
        return sum(self._counts) + max(each, self._of_part) + each * after if each else None

    def __iter__(self) -> Iterator[str]:
        """Yield the parts; what is measured in between counts."""
        shown = None if self._shown else True  # None: on a terminal
        with tqdm(disable=shown, unit=f" {self.unit}", leave=False) as self._bar:
            _open.set(self)
            try:
                for number, part in enumerate(self.parts):
                    self._begin(number, part)
                    yield part
                    self._counts.append(self._of_part)
                    self._took.append(self.clock() - self._begun)
                    self._of_part = 0
            finally:
                _open.set(None)

    def _begin(self, number: int, part: str) -> None:
        self._begun = self.clock()
        said = f"{part} ({number + 1} of {len(self.parts)})" if len(self.parts) > 1 else part
        own = [t for t in self._took if 10 * t >= max(self._took)]  # not those that were read back
        left = sum(own) / len(own) * (len(self.parts) - number) if own else 0
        if part != self.what:
            self.say(f"{said}, about {duration(left)} left ..." if left else f"{said} ...")
        self._bar.set_description(said, refresh=False)
        self._show()

    def expect(self, n: int, n_draws: int = 1, of: str = CONDITIONS) -> None:
        """Take what the study says that it measures of the part that runs."""
        if not self._expected:
            counted = [(len(self.parts), "categories"), (n_draws, "draws")]
            own = of if n != 1 else of.removesuffix("s")
            said = [f"{count} {what}" for count, what in counted if count > 1] + [f"{n} {own}"]
            self.say(f"{self.what}: {' x '.join(said)}")
        self._expected, self.unit = n * n_draws, of
        self._bar.unit = f" {of}"
        self._show()

    def step(self, n: int = 1) -> None:
        """Count conditions of the part that runs."""
        self._of_part += n
        self._bar.update(n)
        if self.made == n:
            self._since = self.clock()
        took, further = self.clock() - self._since, self.made - n
        enough = took >= _LONG or (took >= _BRIEFLY and further >= _MANY)
        if self._expected and not self._said_time and further and enough:
            self._said_time = True
            left = took / further * ((self.total or 0) - self.made)
            self.say(f"{self.what}: about {duration(left)} left, by the first {self.made}")

    def _show(self) -> None:
        self._bar.total = self.total
        self._bar.refresh()


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, as people say them."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"
