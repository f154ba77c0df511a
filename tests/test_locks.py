"""One writer per folder, in processes and threads; nothing is left where nothing was written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from lakeviz.locks import LOCK, is_free, is_locked, locked

_HOLD = """
import sys, time
from lakeviz.locks import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_writer_waits_and_says_so_until_the_first_has_died(holder, tmp_path, caplog):
    entered = threading.Event()

    def write() -> None:
        with locked(tmp_path / "run"):
            entered.set()

    thread = threading.Thread(target=write)
    thread.start()
    assert not entered.wait(0.3)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert entered.wait(10)
    thread.join()
    assert [r.getMessage() for r in caplog.records if r.name == "lakeviz.locks"] == [
        f"waiting for another lakeviz command that writes to {tmp_path / 'run'}"
    ]


def test_a_reader_sees_whether_a_folder_is_written_to(holder, tmp_path):
    assert is_locked(tmp_path / "run")
    assert not is_locked(tmp_path)
    holder.kill()
    holder.wait()
    assert not is_locked(tmp_path / "run")
    assert (tmp_path / "run" / LOCK).is_file()


def test_a_thread_waits_for_another_and_may_lock_again_itself(tmp_path):
    order = []

    def second() -> None:
        with locked(tmp_path):
            order.append("second")

    with locked(tmp_path):
        thread = threading.Thread(target=second)
        thread.start()
        with locked(tmp_path):
            order.append("inner")
        thread.join(0.2)
        order.append("first")
    thread.join(10)
    assert order == ["inner", "first", "second"]


def test_a_folder_in_which_nothing_was_written_is_removed(tmp_path):
    with locked(tmp_path / "a" / "b"):
        assert is_free(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "x").write_text("")
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == [LOCK, "x"]
    assert not is_free(tmp_path / "a" / "b")


def test_a_folder_that_cannot_be_written_is_not_locked(tmp_path):
    (tmp_path / "file").write_text("")
    with locked(tmp_path / "file" / "below"):
        pass
    assert not is_free(tmp_path / "file")
