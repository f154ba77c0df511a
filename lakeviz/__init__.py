"""lakeviz: mechanistic interpretability of anomaly-sensitive neurons in vision-language models."""

__version__ = "0.1.0"
