"""Paired tests of models without randomness, and the rules for memory and outcomes."""

import numpy as np
import pytest
import torch
from scipy.stats import binom
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.metrics.delong import auroc_test
from bench.regression.memory import memory_limit, memory_regressed, memory_suspect
from bench.regression.outcomes import exit_code, worst
from bench.regression.paired import paired_auroc, paired_resampled, paired_top1

LABELS = torch.arange(200) % 2


def scores(separation, seed=0):
    noise = torch.randn(200, generator=torch.Generator().manual_seed(seed))
    return noise + separation * LABELS


def test_identical_scores_are_ok():
    same = scores(1.0)
    assert paired_auroc(same, same, LABELS).outcome == "ok"
    assert paired_resampled(average_precision, same, same, LABELS).outcome == "ok"
    right = torch.arange(10) < 7
    assert paired_top1(right, right).outcome == "ok"


def test_the_drop_and_p_are_delongs():
    base, head = scores(2.0), scores(1.7, seed=1)
    result = paired_auroc(base, head, LABELS)
    expected = roc_auc_score(LABELS, base) - roc_auc_score(LABELS, head)
    assert result.drop == pytest.approx(expected)
    assert expected > 0
    assert result.p == pytest.approx(auroc_test(base, head, LABELS)[1] / 2)
    assert paired_auroc(head, base, LABELS).p == pytest.approx(1 - result.p)
    assert result.low < result.drop < result.high


@pytest.mark.parametrize(
    ("base", "head", "outcome"),
    [(3.0, 0.3, "regressed"), (0.3, 3.0, "improved"), (2.0, 1.9, "changed")],
)
def test_only_a_significant_loss_is_a_regression(base, head, outcome):
    assert paired_auroc(scores(base), scores(head, 1), LABELS).outcome == outcome


def test_a_certain_loss_that_does_not_matter_is_a_change():
    labels = torch.arange(20_000) % 2
    noise = torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    result = paired_auroc(noise + 1.5 * labels, noise + 1.49 * labels, labels)
    assert result.p < 1e-3
    assert 0 < result.drop < 0.004
    assert result.outcome == "changed"


def test_lost_images_are_a_binomial():
    base, head = torch.arange(100) < 90, (torch.arange(100) >= 12) & (torch.arange(100) < 94)
    result = paired_top1(base, head)
    assert result.drop == pytest.approx(0.08)
    assert result.p == pytest.approx(binom.sf(11, 16, 0.5))
    assert result.outcome == "changed"
    assert paired_top1(base, torch.arange(100) < 60).outcome == "regressed"
    assert paired_top1(torch.arange(100) < 60, base).outcome == "improved"


@pytest.mark.parametrize(("won", "outcome"), [(1, "changed"), (9, "changed"), (10, "improved")])
def test_few_images_won_are_no_improvement(won, outcome):
    base = torch.arange(100) < 80  # 1 of 2^10 is just below the level
    assert paired_top1(base, torch.arange(100) < 80 + won).outcome == outcome


def test_different_images_are_refused():
    with pytest.raises(ValueError, match="same images"):
        paired_top1(torch.ones(3, dtype=torch.bool), torch.ones(4, dtype=torch.bool))


def average_precision(values, labels):
    return float(average_precision_score(labels, values))


def resampled(base, head, labels):
    return paired_resampled(average_precision, base, head, labels, resamples=100)


@pytest.mark.parametrize("test", [paired_auroc, resampled])
@pytest.mark.parametrize("defective", [6, 1])
@pytest.mark.parametrize("broken", ["constant", "inverted"])
def test_a_total_loss_without_spread_is_a_regression(test, defective, broken):
    labels = torch.arange(12) >= 12 - defective
    perfect = torch.arange(12.0)
    head = torch.ones(12) if broken == "constant" else -perfect
    assert test(perfect, head, labels).outcome == "regressed"
    assert test(head, perfect, labels).outcome == "improved"
    assert test(head, head, labels).outcome == "ok"


def test_a_small_loss_without_spread_is_a_change():
    labels = torch.arange(401) == 400
    head = torch.arange(401.0)
    head[399] = 401  # one of 400 normal images overtakes the only defective one: 0.25 points
    result = paired_auroc(torch.arange(401.0), head, labels)
    assert np.isnan(result.low)
    assert result.outcome == "changed"


def test_other_metrics_have_a_bca_interval():
    base, head = scores(3.0), scores(0.0, 1)
    result = paired_resampled(average_precision, base, head, LABELS, resamples=400)
    expected = average_precision(base, LABELS) - average_precision(head, LABELS)
    assert result.drop == pytest.approx(expected)
    assert 0 < result.low < result.drop < result.high
    assert result.outcome == "regressed"
    near = paired_resampled(average_precision, base, scores(2.9, 3), LABELS, resamples=400)
    assert near.outcome == "changed"
    assert np.isnan(near.p)


def test_memory_is_compared_with_one_percent_or_eight_mebibytes():
    assert memory_limit(100e6) == 8 * 2**20
    assert memory_limit(10e9) == pytest.approx(100e6)
    assert memory_suspect(100e6, 150e6)
    assert not memory_suspect(10e9, 10.05e9)
    assert memory_regressed(100e6, [150e6, 151e6])
    assert not memory_regressed(100e6, [150e6])
    assert not memory_regressed(100e6, [150e6, 100e6])


def test_the_worst_outcome_counts():
    assert worst(["ok", "suspect", "regressed"]) == "regressed"
    assert worst(["env-shift", "suspect"]) == "suspect"  # the next night looks at it again
    assert worst(["suspect", "invalid", "env-shift"]) == "invalid"
    assert worst(["changed", "ok", "improved"]) == "improved"  # later runs must keep it
    assert worst([]) == "ok"
    assert exit_code([]) == exit_code(["changed", "suspect", "env-shift"]) == 0
    assert exit_code(["invalid", "ok"]) == 11
    assert exit_code(["invalid", "regressed"]) == 10
