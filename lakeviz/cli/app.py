"""The ``lakeviz`` command and what all its sub-commands share: errors, exit codes, the process."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import sys
import warnings
from collections.abc import Sequence

import click

from lakeviz import __version__
from lakeviz.cli.claims import claims, readings
from lakeviz.cli.figure import figure
from lakeviz.cli.ls import ls
from lakeviz.cli.run import demo, run
from lakeviz.cli.sae import sae
from lakeviz.cli.score import score
from lakeviz.cli.study import study
from lakeviz.cli.tables import datasets, hooks, models, table
from lakeviz.cli.terminal import say
from lakeviz.errors import ConfigError, LakevizError
from lakeviz.files import one_line

USAGE_ERROR = 2
INTERRUPTED = 130
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_MOST = 2**31 - 1
_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100, "show_default": True}
_RESUMED = ("run", "demo", "study", "claims", "readings")


@click.group(context_settings=_HELP)
@click.version_option(__version__, prog_name="lakeviz")
@click.option("-v", "--verbose", is_flag=True, help="Say more of what happens.")
def lakeviz(verbose: bool) -> None:
    """Find and study the sparse neurons of a CLIP that notice anomalies (LAKE)."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR, format="%(name)s: %(message)s"
    )
    if not verbose:
        warnings.simplefilter("ignore")
        # It reports every failed request; our own error says it once, with what to do.
        os.environ.setdefault("HF_HUB_VERBOSITY", "critical")


for command in (
    *(demo, run, study, claims, readings, sae, score, ls, figure, table, models, datasets, hooks),
):
    lakeviz.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a known error is one line on stderr and exit code 2."""
    if arguments is None:  # else another program's process
        tune_process()
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        for word in words:
            _check_word(word)
        lakeviz.main(args=words, prog_name="lakeviz", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.exceptions.NoArgsIsHelpError as bare:
        say(bare.format_message())  # the help
        sys.exit(USAGE_ERROR)
    except (KeyboardInterrupt, click.Abort):
        resumes = any(word in _RESUMED for word in words if not word.startswith("-"))
        rest = "the same command goes on where it stopped" if resumes else "run it again"
        say(f"interrupted; {rest}", err=True, colour="yellow")
        sys.exit(INTERRUPTED)
    except Exception as error:
        said = _known(error)
        if said is None:
            raise
        say(f"error: {LakevizError(said)}", err=True, colour="red")
        sys.exit(USAGE_ERROR)


def _check_word(word: str) -> None:
    """Refuse what neither a file's name nor a document of lakeviz can hold."""
    try:
        word.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{word!r} is not UTF-8; rename it, or call it by a link") from None
    if "\0" in word:
        raise ConfigError(f"{word!r} holds a null character")


def _known(error: Exception) -> str | None:
    """What to say of an error whose cause is known; None of a bug."""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        return f"{error.format_message()} See {error.ctx.command_path} --help."
    if isinstance(error, click.ClickException):
        return error.format_message()
    if isinstance(error, LakevizError) or (isinstance(error, OSError) and error.errno is not None):
        return str(error)
    # torch has errors of its own for it.
    said = str(error)
    is_memory = isinstance(error, RuntimeError) and ("out of memory" in said or "allocat" in said)
    if isinstance(error, MemoryError) or is_memory:
        return (
            f"there is not enough memory ({one_line(error)}); use a smaller --batch-size, "
            "--image-size or --map-size"
        )
    return None


def tune_process() -> None:
    """Let threads sleep while they wait, and freed memory stay in the process.

    Call it before torch is loaded. What the user has set in the environment stays.
    """
    # Imports make many objects and no garbage, and with 700 new ones Python would look for some.
    gc.set_threshold(100_000)
    # Threads of torch that spin in a barrier take cores from processes that decode images.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # By default glibc returns the memory of every activation to the system, which clears it before
    # the next batch gets it: a fifth of the time of a forward pass.
    if sys.platform == "linux" and not any(name.startswith("MALLOC_") for name in os.environ):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt is not None:
            mallopt(_M_MMAP_THRESHOLD, 2**30)
            mallopt(_M_TRIM_THRESHOLD, _MOST)
