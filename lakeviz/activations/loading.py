"""How images are read."""

from __future__ import annotations

from dataclasses import dataclass

from lakeviz.errors import ConfigError
from lakeviz.settings import Settings, most_workers, option


@dataclass(frozen=True)
class Loading(Settings):
    """How images are read; results do not depend on it."""

    batch_size: int = option(16, "Images per forward pass.", least=1, most=65536)
    workers: int | None = option(
        None, "Processes that read images; by default chosen by the number of images.", least=0
    )
    skip_bad: bool = option(False, "Go on past unreadable images and list them.")
    progress: bool = option(False, "Show a progress bar.", command=False)

    def check(self) -> None:
        """Refuse more processes than this machine can run."""
        most = most_workers()
        if (self.workers or 0) > most:
            raise ConfigError(f"workers is {self.workers}; this machine can run {most} at most")
