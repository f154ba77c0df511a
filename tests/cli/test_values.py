"""Odd values on the command line: exit code 2 and one line; no traceback, no endless work."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz.commands import VALUES, arguments, check_command, commands, no_work, options, said_by

from lakeviz.activations.loading import Loading
from lakeviz.data.synthetic import write_benchmark
from lakeviz.errors import ConfigError, DataError, LakevizError, printable
from lakeviz.lake import LakeOptions
from lakeviz.models import load_model
from lakeviz.settings import most_workers


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    return write_benchmark(root, categories=("gear",), size=32, n_train=2, n_good=1, n_per_defect=1)


@pytest.fixture(scope="module")
def model():
    return load_model("tiny")


NUMBERS = ("inf", "nan", "1e308", "-1", "9" * 5000, str(10**30), "nul\0", "\x1b[31m", "x" * 5000)


@pytest.mark.parametrize(
    "words, command",
    commands(),
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_option_takes_an_odd_value_or_says_why_not(words, command, root, model, tmp_path):
    given = arguments(words, root, tmp_path / "run", tmp_path / "out")
    with no_work(model):
        for number, flag in enumerate(options(command)):
            # All of them of one option, and some of every option.
            for value in NUMBERS if number == 0 else (NUMBERS[number % 9], VALUES[number % 38]):
                with pytest.raises(LakevizError):
                    check_command([*given, f"{flag}={value}"])
                    raise LakevizError("done")


def test_a_study_by_another_name_is_told_the_nearest():
    with pytest.raises(LakevizError, match="No study 'knokout'; nearest: knockout"):
        check_command(["study", "knokout", "run"])


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--smoothing", "inf", "inf is not between 0 and 1000"),
        ("--smoothing", "1e308", "is not between 0 and 1000"),
        ("--smoothing", "nan", "nan is not between 0 and 1000"),
        ("--coreset", "nan", "nan is not between 0 and 1"),
        ("--k", "0", "0 is not between 1 and"),
        ("--k", "9" * 5000, "a whole number of 5000 characters is too long"),
        ("--seed", "-1", "-1 is not between 0"),
        ("--device", "meta", "device 'meta' is not available"),
        ("--device", "warp", "device 'warp' is not available"),
        ("--image-size", "100000", "the image size is 100000 x 100000"),
        ("--map-size", "999999", "the map size is 999999 x 999999"),
        ("--map-size", "9" * 5000, "is neither N nor HxW"),
        ("--shots", "9" * 5000, "--shots must be a number"),
        ("--workers", "99999", "this machine can run"),
        ("--batch-size", "0", "is not between 1"),
        ("--category", "a\0b", "holds a null character"),
        ("--category", "caf\udce9", "is not UTF-8"),
        ("--category", "\x1b[31mred", r"\x1b[31mred"),
        ("--nonsense", "1", "No such option"),
    ],
)
def test_what_is_said_of_a_value(flag, value, said, root, model, tmp_path):
    given = ["run", "mvtec", "--root", str(root), "--out", str(tmp_path), flag, value]
    with no_work(model):
        code, error = said_by(given)
    assert code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error
    assert len(error) < 1300


def test_ranges_hold_in_python_too():
    with pytest.raises(ConfigError, match=f"can run {most_workers()} at most"):
        Loading(workers=most_workers() + 1)
    assert Loading(workers=most_workers()).workers == most_workers()
    for smoothing in (float("inf"), float("nan"), -1.0):
        with pytest.raises(ConfigError, match="smoothing must be between"):
            LakeOptions(smoothing=smoothing)
    with pytest.raises(ConfigError, match=r"map size is 99999 x 99999 \(37.3 GiB\)"):
        LakeOptions(map_size=(99999, 99999))
    assert LakeOptions(map_size=(16384, 16384)).map_size == (16384, 16384)


def test_a_message_is_one_line_of_printable_characters():
    error = DataError("cannot read \x1b[31ma\nb\t\u202e" + "x" * 5000 + "; delete it")
    assert str(error).startswith(r"cannot read \x1b[31ma b\t\u202exxx")
    assert str(error).endswith("xxx; delete it")
    assert len(str(error)) < 1300
    assert printable("gear 1/é 😀") == "gear 1/é 😀"
