"""How a sparse autoencoder is trained on the images of a run."""

from __future__ import annotations

from dataclasses import dataclass

from lakeviz.errors import ConfigError
from lakeviz.settings import Settings, option

ARCHITECTURES = ("batchtopk", "topk")


@dataclass(frozen=True)
class SaeSettings(Settings):
    """Settings of ``lakeviz sae train``."""

    point: str = option(help="Hook point, such as blocks.5.hook_resid_post.")
    latents: int = option(512, "Number of latents.", least=1)
    k: int = option(16, "Latents that are active, per token (on average, for batchtopk).", least=1)
    steps: int = option(2000, "Training steps; 0 gives an untrained control.", least=0)
    architecture: str = option("batchtopk", "Which latents are active.", choices=ARCHITECTURES)
    images: int = option(200, "Normal training images of each category, at most.", least=1)
    tokens: int = option(1024, "Tokens of a step.", least=1)
    learning_rate: float = option(1e-3, "Of Adam.", least=1e-9, most=1)
    seed: int = option(0, "Of the images, the weights and the steps.", least=0)

    def check(self) -> None:
        """Check that no more latents are active than there are."""
        if self.k > self.latents:
            raise ConfigError(f"k must be 1 to the {self.latents} latents, not {self.k}")
