"""Defaults of options that decide how long a session takes."""

import argparse
from pathlib import Path

import pytest

from bench.commands.session_options import add_session_options
from bench.read_options import settings_from
from bench.settings import Settings


def test_measuring_a_case_takes_at_most_ten_seconds_by_default(tmp_path):
    parser = argparse.ArgumentParser()
    add_session_options(parser)
    options = parser.parse_args(["--device", "cpu"])
    assert settings_from(options, tmp_path).measure_seconds == 10.0
    nowhere = Path()
    assert Settings("smoke", "cpu", (), (), nowhere, nowhere).measure_seconds == 10.0


@pytest.mark.parametrize("tiles", [True, False])
def test_an_overlap_needs_tiles(tmp_path, tiles):
    parser = argparse.ArgumentParser()
    add_session_options(parser)
    asked = ["--device", "cpu", "--overlap", "8", *(["--tiles", "1x2"] if tiles else [])]
    options = parser.parse_args(asked)
    if tiles:
        assert settings_from(options, tmp_path).overlap == 8
    else:
        with pytest.raises(pytest.UsageError, match="--overlap: wanted --tiles RxC with it"):
            settings_from(options, tmp_path)


def test_the_default_for_measuring_is_the_one_that_the_help_states():
    parser = argparse.ArgumentParser()
    add_session_options(parser)
    (option,) = (a for a in parser._actions if "--measure-seconds" in a.option_strings)
    assert f"(default {option.default:.0f} s)" in option.help
