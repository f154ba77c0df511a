"""Prompt ensembles: every state in every template, whatever the class is called."""

from __future__ import annotations

import json

import pytest

from lakeviz.errors import TextBranchError
from lakeviz.lake import PromptEnsemble
from lakeviz.lake.provenance import as_plain

SMALL = PromptEnsemble(
    ("{}", "good {}"), ("bad {}", "{} with hole", "torn {}"), ("a {}.", "the {}!")
)


def test_every_state_in_every_template() -> None:
    assert SMALL.normal("nut") == ["a nut.", "the nut!", "a good nut.", "the good nut!"]
    assert SMALL.anomalous("nut") == [
        "a bad nut.",
        "the bad nut!",
        "a nut with hole.",
        "the nut with hole!",
        "a torn nut.",
        "the torn nut!",
    ]


def test_default_ensemble() -> None:
    prompts = PromptEnsemble()
    normal, anomalous = prompts.normal("metal nut"), prompts.anomalous("metal nut")
    assert len(normal) == len(prompts.normal_states) * len(prompts.templates)
    assert len(anomalous) == len(prompts.anomalous_states) * len(prompts.templates)
    every = normal + anomalous
    assert len(set(every)) == len(every)
    assert all(p.count("metal nut") == 1 and "{" not in p for p in every)


@pytest.mark.parametrize("name", ["{}", "{0}", "a {b} c", "100%", "{{x}}"])
def test_braces_in_class_names(name: str) -> None:
    assert SMALL.normal(name)[2] == f"a good {name}."


def test_json_round_trip() -> None:
    assert PromptEnsemble.from_json(json.loads(json.dumps(as_plain(SMALL)))) == SMALL


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"normal_states": ()}, "no normal states"),
        ({"anomalous_states": ()}, "no anomalous states"),
        ({"templates": ()}, "no templates"),
        ({"templates": ("a photo",)}, "'a photo' must hold exactly one {}"),
        ({"normal_states": ("{} and {}",)}, "exactly one {}"),
    ],
)
def test_unusable_ensembles(entries: dict, said: str) -> None:
    with pytest.raises(TextBranchError, match=said):
        PromptEnsemble(**entries)
