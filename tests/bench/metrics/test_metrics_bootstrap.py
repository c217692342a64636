"""Resampling against SciPy, and its statistics against metrics of the repeated images."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score

from bench.metrics import bootstrap as module
from bench.metrics.bootstrap import (
    average_precision_of_scores,
    best_f1_of_scores,
    bootstrap,
    ratio_of,
    resamples,
)


def image_set(seed, images=60, decimals=1):
    rng = np.random.default_rng(seed)
    labels = rng.random(images) < 0.6
    return np.round(rng.normal(labels * 1.5, 1), decimals), labels


def mean_of(values):
    return ratio_of(values, torch.ones(len(values)))


def repeated(array, counts):
    return np.repeat(array, counts.numpy(), axis=0)


def test_resamples_keep_each_strata_size():
    strata = torch.tensor([2, 0, 0, 2, 2, 0, 1])
    drawn = torch.cat(list(resamples(strata, 500, seed=0)))
    assert drawn.shape == (500, 7)
    for stratum in (0, 1, 2):
        members = drawn[:, strata == stratum]
        assert (members.sum(1) == members.shape[1]).all()
    # Each image is drawn once on average: 500 draws of variance 2/3 within three images.
    assert drawn.double().mean(0).tolist() == pytest.approx([1] * 7, abs=5 * math.sqrt(2 / 1500))
    assert drawn[:, 6].tolist() == [1] * 500


def test_draws_depend_on_the_seed_alone(monkeypatch):
    strata = torch.arange(40) % 2
    one, other = (torch.cat(list(resamples(strata, 50, seed))) for seed in (0, 1))
    assert torch.equal(one, torch.cat(list(resamples(strata, 50, 0))))
    assert not torch.equal(one, other)
    values = torch.rand(40, generator=torch.Generator().manual_seed(0)).double()
    assert bootstrap(mean_of(values), strata) == bootstrap(mean_of(values), strata)
    monkeypatch.setattr(module, "_CELLS", 40 * 7)
    assert torch.cat(list(resamples(strata, 50, 0))).shape == (50, 40)


@pytest.mark.parametrize("seed", range(8))
def test_statistics_are_the_figures_of_repeated_images(seed):
    scores, labels = image_set(seed)
    flagged = scores > 0.8
    hits, wrong = (flagged & labels), (flagged ^ labels)
    statistics = {
        "mean": mean_of(torch.from_numpy(scores)),
        "f1": ratio_of(torch.from_numpy(2 * hits), torch.from_numpy(2 * hits + wrong)),
        "ap": average_precision_of_scores(torch.from_numpy(scores), torch.from_numpy(labels)),
        "best": best_f1_of_scores(torch.from_numpy(scores), torch.from_numpy(labels)),
    }
    (drawn,) = resamples(torch.from_numpy(labels), 5, seed)
    found = {name: statistic(drawn) for name, statistic in statistics.items()}
    for row, counts in enumerate(drawn):
        values, truth = repeated(scores, counts), repeated(labels, counts)
        assert float(found["mean"][row]) == pytest.approx(values.mean())
        assert float(found["f1"][row]) == pytest.approx(f1_score(truth, values > 0.8))
        assert float(found["ap"][row]) == pytest.approx(average_precision_score(truth, values))
        best = max(f1_score(truth, values >= cut) for cut in np.unique(values))
        assert float(found["best"][row]) == pytest.approx(best)


def test_the_interval_is_scipys():
    rng = np.random.default_rng(1)
    values = rng.exponential(1, 80)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="percentile", rng=rng
    ).confidence_interval
    strata = torch.zeros(80, dtype=torch.int64)
    ours = bootstrap(mean_of(torch.from_numpy(values)), strata, replicates=9999)
    width = theirs.high - theirs.low
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=0.05 * width)


def test_95_percent_of_the_resamples_are_within_the_interval():
    values = torch.from_numpy(np.random.default_rng(2).exponential(1, 40))
    strata = torch.zeros(40, dtype=torch.int64)
    (drawn,) = resamples(strata, 2000, seed=0)
    low, high = np.quantile((drawn.double() @ values / 40).numpy(), [0.025, 0.975])
    found = bootstrap(mean_of(values), strata, replicates=2000)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)


def test_differences_are_paired():
    rng = np.random.default_rng(4)
    first = torch.from_numpy(rng.normal(0, 1, 100))
    second = first + 0.1 + torch.from_numpy(rng.normal(0, 0.05, 100))
    one, other, strata = mean_of(first), mean_of(second), torch.zeros(100, dtype=torch.int64)
    found = bootstrap(lambda counts: other(counts) - one(counts), strata)
    assert 0.08 < found.low < 0.1 < found.high < 0.13
    assert bootstrap(other, strata).low < bootstrap(one, strata).high


def test_no_spread_no_interval():
    strata = torch.zeros(5, dtype=torch.int64)
    found = bootstrap(mean_of(torch.full((5,), 0.7)), strata, replicates=50)
    assert found.value == pytest.approx(0.7)
    assert math.isnan(found.low)
    assert "same value" in found.reason


def test_figures_that_do_not_exist_say_so():
    strata = torch.zeros(4, dtype=torch.int64)
    nothing = bootstrap(ratio_of(torch.zeros(4), torch.zeros(4)), strata)
    assert math.isnan(nothing.value)
    assert "is undefined" in nothing.reason
    rare = torch.tensor([0, 0, 0, 1])
    some = bootstrap(ratio_of(rare, rare), strata, replicates=200)
    assert some.value == 1.0
    assert math.isnan(some.low)
    assert "of 200 resamples leave it undefined" in some.reason


def test_misuse_is_an_error():
    with pytest.raises(ValueError, match="wanted images"):
        bootstrap(mean_of(torch.zeros(0)), torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match="NaN"):
        average_precision_of_scores(torch.tensor([1.0, math.nan]), torch.tensor([0, 1]))
