"""Prompt ensembles: state words x templates with the class name filled in, as in WinCLIP.

Source of the scheme: Jeong et al., "WinCLIP: Zero-/Few-Shot Anomaly Classification and
Segmentation", CVPR 2023.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lakeviz.documents import restored
from lakeviz.errors import TextBranchError

NORMAL_STATES: tuple[str, ...] = (
    "{}",
    "flawless {}",
    "perfect {}",
    "unblemished {}",
    "{} without flaw",
    "{} without defect",
    "{} without damage",
)
ANOMALOUS_STATES: tuple[str, ...] = (
    "damaged {}",
    "broken {}",
    "{} with flaw",
    "{} with defect",
    "{} with damage",
)
TEMPLATES: tuple[str, ...] = (
    "a photo of a {}.",
    "a photo of the {}.",
    "a cropped photo of a {}.",
    "a cropped photo of the {}.",
    "a close-up photo of a {}.",
    "a close-up photo of the {}.",
    "a bright photo of a {}.",
    "a dark photo of the {}.",
    "a blurry photo of the {}.",
    "a photo of a {} for visual inspection.",
    "a photo of the {} for anomaly detection.",
    "there is a {} in the scene.",
    "this is a {}.",
)


@dataclass(frozen=True)
class PromptEnsemble:
    """Normal and anomalous state words and the templates they are put into.

    Parameters
    ----------
    normal_states, anomalous_states : tuple of str
        Each holds one ``{}`` for the class name.
    templates : tuple of str
        Each holds one ``{}`` for the state phrase.

    Raises
    ------
    TextBranchError
        If one of the three is empty or an entry lacks its ``{}``.
    """

    normal_states: tuple[str, ...] = NORMAL_STATES
    anomalous_states: tuple[str, ...] = ANOMALOUS_STATES
    templates: tuple[str, ...] = TEMPLATES

    def __post_init__(self) -> None:
        for name, entries in asdict(self).items():
            if not entries:
                raise TextBranchError(f"the prompt ensemble has no {name.replace('_', ' ')}")
            for entry in entries:
                if entry.count("{}") != 1:
                    raise TextBranchError(
                        f"{name.replace('_', ' ')}: {entry!r} must hold exactly one {{}}"
                    )

    def normal(self, class_name: str) -> list[str]:
        """All normal prompts for a class."""
        return self._fill(self.normal_states, class_name)

    def anomalous(self, class_name: str) -> list[str]:
        """All anomalous prompts for a class."""
        return self._fill(self.anomalous_states, class_name)

    def _fill(self, states: tuple[str, ...], class_name: str) -> list[str]:
        # str.replace, not str.format: a class name may itself hold braces.
        phrases = [state.replace("{}", class_name) for state in states]
        return [t.replace("{}", phrase) for phrase in phrases for t in self.templates]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PromptEnsemble:
        """Restore an ensemble from JSON types; see :func:`lakeviz.lake.provenance.as_plain`.

        Raises
        ------
        ConfigError, TextBranchError
            If it is not one.
        """
        return restored(cls, data, "prompts")
