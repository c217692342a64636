"""What of a run's samples is kept."""

from itertools import pairwise

import pytest

from bench.run.measure.profile import thinned


@pytest.mark.parametrize(("count", "kept"), [(0, 0), (1, 1), (999, 999), (1_000, 1_000)])
def test_few_samples_all_stay(count, kept):
    assert thinned([0.1] * count) == [0.1] * kept


def test_many_are_thinned_evenly_from_the_first_to_the_last():
    samples = [float(i) for i in range(9_765)]
    kept = thinned(samples)
    assert len(kept) == 977
    assert {b - a for a, b in pairwise(kept)} == {10.0}
    assert (kept[0], kept[-1]) == (0.0, 9_760.0)
