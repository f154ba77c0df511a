"""Studies on top of the detector: each with its controls, intervals and provenance."""
