"""Sparklines of series shorter and longer than the line."""

import pytest

from bench.sparkline import sparkline


@pytest.mark.parametrize("count", [1, 2, 39, 40, 41, 1000])
@pytest.mark.parametrize("length", [None, 40])
def test_a_sparkline_of_falling_values_falls(count, length):
    line = sparkline([1 / (place + 1) for place in range(count)], length)
    assert len(line) == (min(count, 40) if length else count)
    assert list(line) == sorted(line, reverse=True)
    assert line[-1] == "▁"


def test_nothing_has_no_line():
    assert sparkline([]) == ""
