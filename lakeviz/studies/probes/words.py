"""How the neurons of a probe are chosen, and its controls."""

from __future__ import annotations

RANDOM, SHUFFLED, VARIANCE, CHOSEN, ALL, L1 = (
    "random",
    "shuffled labels",
    "variance",
    "probe",
    "all",
    "l1",
)
NAMES = {
    RANDOM: "a probe of random neurons",
    SHUFFLED: "a probe trained on shuffled labels",
    VARIANCE: "a probe of the top-variance neurons",
    CHOSEN: "a probe of the neurons that differ most",
    ALL: "a probe of all neurons",
    L1: "an L1 probe",
}
