"""Kills at chosen moments: what a run or a study loses, and whether it ends bit-equal.

``python benchmarks/kills.py --kills 20 --seed 0`` kills every command at moments drawn by the seed:
at a rename (before it or after), in the middle of a record of a journal, at a batch or condition.
Then the same command runs again, and its tables are compared with those of one that was not killed.
Every command runs in a fork, so that the packages are loaded once. POSIX only.
"""

from __future__ import annotations

import argparse
import contextlib
import mmap
import os
import shutil
import signal
import struct
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from lakeviz.activations import Loading, TokenBatches, capture_to_store
from lakeviz.data import read_dataset
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import LakevizError
from lakeviz.files import read_arrays, read_json, read_parquet
from lakeviz.journal import Journal
from lakeviz.lake import Lake, LakeOptions
from lakeviz.lake.paired_evaluator import PairedEvaluator
from lakeviz.metrics import Bootstrap
from lakeviz.models import load_model
from lakeviz.runs.run import execute
from lakeviz.runs.spec import RunSpec
from lakeviz.studies import StudyRun, get_study
from lakeviz.studies.base.study import OnRun
from lakeviz.studies.claims.result import ClaimSettings
from lakeviz.studies.claims.study import STUDY as CLAIMS

Command = Callable[[Path], None]
_LONGEST = 300
"""Seconds after which a fork hangs, and ends by an alarm."""
_STUDIES: dict[str, dict[str, Any]] = {
    "knockout": {"sizes": (5,), "n_random_sets": 2, "single": False, "kinds": ("score", "forward")},
    "contamination": {"n_repeats": 2, "shots": 4},
    "neurons": {"n_random": 4, "k": 4, "crops": False},
    "dossier": {"n_random": 2, "k": 2, "crops": False, "labels": False},
    "readings": {"n_random_sets": 2, "n_exchanged": 1},
}


def commands(root: Path) -> dict[str, Command]:
    """Every command that is killed, on a folder that a run was copied to."""
    model = load_model("tiny")
    options = LakeOptions(k=10, map_size=(32, 32))
    spec = RunSpec(
        "mvtec", root, shots=2, draws=2, options=options, controls=("all",), categories=("tile",)
    )
    loading = Loading(batch_size=3, workers=0)
    images = read_dataset("mvtec", root).category("tile").split("test")

    def run(folder: Path) -> None:
        execute(spec, folder / "run", model=model, loading=loading)

    def store(folder: Path) -> None:
        points = ["blocks.1.hook_resid_post"]
        capture_to_store(
            model, images, points, folder / "store", loading=loading, images_per_shard=3
        )

    def detector(folder: Path) -> None:
        lake = Lake.from_options(model, options)
        lake.fit(images.normal()).save(folder / "detector")

    def study(name: str) -> Command:
        def on_run(folder: Path) -> None:
            opened = StudyRun.open(folder / "run", map_size=(32, 32), loading=loading)
            opened.model = model
            made = get_study(name).load()
            settings = made.settings.of(None, _STUDIES[name])
            found = made.on_run(OnRun([opened], Bootstrap(n_resamples=50)), settings)
            opened.save(found)

        return on_run

    def claims(folder: Path) -> None:
        opened = StudyRun.open(folder / "run", map_size=(32, 32), loading=loading)
        opened.model = model
        settings = ClaimSettings(n_random_sets=20, n_resamples=100, n_untrained=1)
        opened.save(CLAIMS.on_run(OnRun([opened], settings.bootstrap), settings))

    found = {"run": run, "store": store, "detector": detector, "claims": claims}
    return found | {name: study(name) for name in _STUDIES}


class Moments:
    """Counts moments, and the work done, in memory that forks share; kills at one of them."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, 16)
        self.stop = -1

    def _add(self, place: int) -> int:
        (count,) = struct.unpack_from("<q", self._shared, place)
        struct.pack_into("<q", self._shared, place, count + 1)
        return count

    def take(self) -> tuple[int, int]:
        """Moments and work since the last time."""
        found = struct.unpack("<qq", self._shared[:16])
        self._shared[:16] = bytes(16)
        return found

    def work(self) -> None:
        """A batch was scored, or a condition measured."""
        self._add(8)
        self.pass_()

    def pass_(self) -> None:
        """A moment at which a process may die."""
        if self._add(0) == self.stop:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self) -> None:
        """Make moments of renames, of records and of work, in this process."""
        for name in ("replace", "rename"):
            setattr(Path, name, self._around(getattr(Path, name)))
        put, moments = Journal.put, self

        def put_in_halves(self: Journal, key: Any, arrays: Any) -> None:
            before = self.path.stat().st_size if self.path.exists() else 0
            put(self, key, arrays)
            if moments._add(0) == moments.stop:
                os.truncate(self.path, (before + self.path.stat().st_size) // 2)
                os.kill(os.getpid(), signal.SIGKILL)

        Journal.put = put_in_halves
        measure, batches = PairedEvaluator._measure, TokenBatches.__iter__

        def measured(self: PairedEvaluator, maps: Any) -> Any:
            found = measure(self, maps)
            moments.work()
            return found

        def each(self: TokenBatches) -> Any:
            for batch in batches(self):
                yield batch
                moments.work()

        PairedEvaluator._measure, TokenBatches.__iter__ = measured, each

    def _around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any) -> Any:
            self.pass_()
            made = call(*args)
            self.pass_()
            return made

        return wrapped


def forked(command: Command, folder: Path, moments: Moments, stop: int = -1) -> tuple[int, float]:
    """Run a command in a fork, killed at moment ``stop``; how it ended, and its CPU seconds."""
    if pid := os.fork():
        _, status, used = os.wait4(pid, 0)
        return os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
    code = 1
    signal.alarm(_LONGEST)
    try:
        moments.stop = stop
        moments.watch()
        command(folder)
        code = 0
    except LakevizError as error:
        print(f"{error}", file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def differences(one: Path, other: Path) -> list[str]:
    """Files that are not equal in both, by what they hold; and what was left half-written."""
    found = []
    names = sorted({p.relative_to(root) for root in (one, other) for p in root.rglob("*")})
    for name in names:
        left, right = one / name, other / name
        if left.is_dir() or name.name in (".lock", "report.html"):
            continue
        if not (left.is_file() and right.is_file()):
            found.append(f"{name} is in one alone")
        elif name.suffix == ".parquet":
            with contextlib.suppress(AssertionError):
                pd.testing.assert_frame_equal(
                    read_parquet(left), read_parquet(right), check_exact=True
                )
                continue
            found.append(str(name))
        elif name.suffix == ".safetensors" and name.parts[0] != "store":
            a, b = read_arrays(left), read_arrays(right)
            if a.keys() != b.keys() or any(a[n].tobytes() != b[n].tobytes() for n in a):
                found.append(str(name))
        elif name.suffix == ".json":
            if _plain(read_json(left)) != _plain(read_json(right)):
                found.append(str(name))
        elif left.read_bytes() != right.read_bytes():
            found.append(str(name))
    return found


def _plain(value: Any) -> Any:
    """JSON without times."""
    if isinstance(value, dict):
        return {n: _plain(v) for n, v in value.items() if n not in ("time", "date", "seconds")}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def measure(kills: int, seed: int, only: Sequence[str] = ()) -> pd.DataFrame:
    """Kill every command; a row each: tried, survived, and what was done twice at most."""
    # A fork waits for ever for OpenMP threads that only its parent has.
    torch.set_num_threads(1)
    rows, moments = [], Moments()
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        write_benchmark(
            work / "data", categories=("tile",), size=48, n_train=10, n_good=4, n_per_defect=1
        )
        all_of = commands(work / "data")
        (work / "empty").mkdir()
        (work / "base").mkdir()
        forked(all_of["run"], work / "base", moments)
        for name, command in all_of.items():
            if only and name not in only:
                continue
            start = work / ("base" if name in {"claims", *_STUDIES} else "empty")
            whole = _copy(start, work / "whole")
            moments.take()
            code, seconds = forked(command, whole, moments)
            if code:
                sys.exit(f"{name} fails without a kill")
            n, needed = moments.take()
            generator = np.random.default_rng([seed, len(rows)])
            survived, lost, again = 0, [], 0.0
            stops = generator.choice(n - 1, size=min(kills, n) - 1, replace=False)
            stops = np.append(np.sort(stops), n - 2)
            for stop in stops.tolist():
                killed = _copy(start, work / "killed")
                first, _ = forked(command, killed, moments, stop)
                second, again = forked(command, killed, moments)
                done = moments.take()[1]
                said = differences(whole, killed) if second == 0 else ["exit code 1"]
                if second == -signal.SIGALRM:
                    said = [f"hangs after {_LONGEST} s"]
                if first != -signal.SIGKILL:
                    said.append(f"not killed: {first}")
                if said:
                    print(f"{name} killed at {stop} of {n}: {'; '.join(said)}", file=sys.stderr)
                survived += not said
                lost.append(done - needed)
            row = {"command": name, "moments": n, "tried": len(stops), "survived": survived}
            row |= {"work": needed, "done twice at most": max(lost)}
            # The last kill of all comes near the end, where most could be lost.
            rows.append(row | {"CPU s": round(seconds, 1), "after the last kill": round(again, 1)})
            print(rows[-1], file=sys.stderr)
    return pd.DataFrame(rows)


def _copy(start: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(start, to)
    return to


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="per command")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=())
    given = parser.parse_args(arguments)
    print(measure(given.kills, given.seed, given.only).to_string(index=False))


if __name__ == "__main__":
    main()
