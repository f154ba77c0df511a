"""The command line: the same words as the Python interface."""

from lakeviz.cli.app import main

__all__ = ["main"]
