"""The ``lakeviz`` command and what all its sub-commands share: errors, exit codes, logging."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence

import click

from lakeviz import __version__
from lakeviz.cli.claims import claims
from lakeviz.cli.demo import demo
from lakeviz.cli.figure import figure
from lakeviz.cli.readings import readings
from lakeviz.cli.run import run
from lakeviz.cli.score import score
from lakeviz.cli.study import study
from lakeviz.cli.table_export import table
from lakeviz.cli.tables import datasets, hooks, models
from lakeviz.errors import LakevizError

USAGE_ERROR = 2
INTERRUPTED = 130
_RESUMED = ("run", "demo", "study", "claims", "readings")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
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


for command in (demo, run, study, claims, readings, score, figure, table, models, datasets, hooks):
    lakeviz.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; a known error is one line on stderr and exit code 2."""
    try:
        lakeviz.main(args=arguments, prog_name="lakeviz", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE_ERROR)
    except LakevizError as error:
        click.secho(f"error: {error}", fg="red", err=True)
        sys.exit(USAGE_ERROR)
    except OSError as error:
        if error.errno is None:
            raise
        click.secho(f"error: {error}", fg="red", err=True)
        sys.exit(USAGE_ERROR)
    except (KeyboardInterrupt, click.Abort):
        given = sys.argv[1:] if arguments is None else arguments
        resumes = any(word in _RESUMED for word in given if not word.startswith("-"))
        rest = "the same command goes on where it stopped" if resumes else "run it again"
        click.secho(f"interrupted; {rest}", fg="yellow", err=True)
        sys.exit(INTERRUPTED)
