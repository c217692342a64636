"""Training steps beside the limit of the processor; the peer's side needs the peer."""

import argparse

import pytest

from bench.perf import flop_limit
from bench.perf.flop_limit import Step, measure_limit, row, write_images


def test_a_side_is_judged_by_its_seconds_and_its_share_of_the_limit():
    ours, peer = Step(flops=80e9, seconds=1.0), Step(flops=100e9, seconds=2.0)
    assert row("model", 160e9, ours, peer) == [
        *("model", "80.0", "100.0", "1.00", "2.00", "2.00 ×"),
        *("50%", "31%"),
    ]
    assert row("model", 160e9, ours, None)[5:] == ["–", "50%", "–"]


def test_the_limit_is_that_of_a_processor():
    assert 1e8 < measure_limit(repeats=1) < 1e15


@pytest.mark.slow
def test_our_step_is_counted_and_timed(tmp_path):
    write_images(tmp_path, 6)
    step = flop_limit._ours(
        "autoencoder", tmp_path, argparse.Namespace(images=2, steps=2, measure_seconds=20)
    )
    assert 1e8 < step.flops < 1e11
    assert 1e-3 < step.seconds < 60
