"""Tests of ranks against SciPy, published worked examples, and leaderboards of equal models."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from bench.aggregate.significance import (
    all_pairs,
    average_ranks,
    critical_difference,
    equal_pairs,
    fewest_blocks,
    friedman_p,
    holm,
    over_blocks,
    over_images,
    over_intervals,
)
from bench.metrics.outcomes import pack_scores, unpack

# Demšar 2006, table 6: AUC of four decision trees on 14 data sets, as printed.
DEMSAR = np.array(
    [
        [0.763, 0.768, 0.771, 0.798],
        [0.599, 0.591, 0.590, 0.569],
        [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657],
        [0.882, 0.888, 0.886, 0.898],
        [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685],
        [0.583, 0.583, 0.563, 0.625],
        [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000],
        [0.940, 0.962, 0.965, 0.962],
        [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.975, 0.975],
        [0.957, 0.978, 0.946, 0.970],
    ]
).T


def test_average_ranks_are_demsars():
    # The paper ranks "voting" 4, 1, 2, 3 where it prints two equal values: ± .5 / 14.
    ranks = average_ranks(DEMSAR)
    assert ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=0.5 / 14 + 5e-4)
    assert ranks[:2] == pytest.approx([3.143, 2.000], abs=5e-4)


@pytest.mark.parametrize(
    ("rows", "blocks", "significance", "expected"),
    [
        (4, 14, 0.05, 1.25),  # section 3.2.4: "the critical difference is 2.569 √(4·5/(6·14))"
        (4, 14, 0.10, 1.12),
        (2, 6, 0.05, 1.960 * np.sqrt(2 * 3 / 36)),  # table 5(a): q of 2 to 10 classifiers
        (5, 20, 0.05, 2.728 * np.sqrt(5 * 6 / 120)),
        (10, 30, 0.05, 3.164 * np.sqrt(10 * 11 / 180)),
    ],
)
def test_critical_difference_is_demsars(rows, blocks, significance, expected):
    assert critical_difference(rows, blocks, significance) == pytest.approx(expected, abs=5e-3)


def test_friedman_and_wilcoxon_are_scipys():
    assert friedman_p(DEMSAR) == stats.friedmanchisquare(*DEMSAR).pvalue
    assert friedman_p(np.ones((3, 9))) == 1.0
    p = over_blocks(DEMSAR)
    unequal = (DEMSAR[0] - DEMSAR[3])[DEMSAR[0] != DEMSAR[3]]  # SciPy's zeros make it approximate
    assert p[0, 3] == p[3, 0] == pytest.approx(stats.wilcoxon(unequal).pvalue)
    assert (np.diagonal(p) == 1).all()


def test_few_unequal_blocks_are_never_significant():
    first = np.linspace(0.8, 0.9, 12)
    second = first.copy()
    second[:5] -= [0.01, 0.02, 0.03, 0.04, 0.05]
    assert over_blocks(np.stack([first, second]))[0, 1] == 2 / 2**5


def test_six_unequal_blocks_can_be_significant():
    differences = np.arange(1.0, 7)
    p = over_blocks(np.stack([differences, np.zeros(6)]))[0, 1]
    assert p == stats.wilcoxon(differences, method="exact").pvalue < 0.05


def test_a_block_in_which_all_rows_are_equal_takes_no_rank_away():
    places = np.arange(15)
    values = 1 - np.outer(places + 1, 1 + 0.05 * places) / 100
    for equal in (0.0, 1.0):
        values[:, 3] = equal or values[:, 3]
        tested = all_pairs(over_blocks(values), values.mean(1), equal_pairs(15))
        assert tested.ranges() == [(rank, rank) for rank in range(1, 16)]


def test_one_large_loss_does_not_make_a_row_worse_that_wins_nearly_everywhere():
    first = np.full(15, 0.95)
    second = first + np.linspace(0.001, 0.004, 15)
    second[7] = 0.85
    values = np.stack([first, second])
    assert first.mean() > second.mean()
    assert stats.wilcoxon(first, second).pvalue < 0.01  # for the second row
    assert stats.wilcoxon(first, second, alternative="greater").pvalue > 0.99
    assert over_blocks(values)[0, 1] == 1.0
    assert all_pairs(over_blocks(values), values.mean(1)).ranges() == [(1, 2), (1, 2)]


def test_signed_ranks_leave_zeros_out():
    # 7 + 8 + 9 + 10 > 1 + … + 6; if the seven zeros had ranks, the sums would be 62 and 63.
    differences = np.array([-1.0, -2, -3, -4, -5, -6, 7, 8, 9, 10, *[0] * 7])
    p = over_blocks(np.stack([differences, np.zeros(17)]))
    assert p[0, 1] == stats.wilcoxon(differences[:10]).pvalue < 0.6


def test_fewest_blocks_is_the_first_that_an_exact_test_can_pass():
    for pairs in (1, 3, 10, 45):
        blocks = fewest_blocks(pairs)
        least = stats.wilcoxon(np.arange(1.0, blocks + 1)).pvalue
        fewer = stats.wilcoxon(np.arange(1.0, blocks)).pvalue
        assert least * pairs < 0.05 <= fewer * pairs


def test_holm_by_hand_and_in_any_order():
    p = [0.010, 0.040, 0.030, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(p[::-1]) == pytest.approx([0.02, 0.06, 0.06, 0.03])
    assert holm([0.01, np.nan]) == [0.02, 1.0]
    assert holm([]) == []
    assert holm(p, 2) == pytest.approx([0.02, 0.06, 0.06, 0.01])  # 2, 2, 2 and 1 times p


def test_after_friedmans_test_one_row_fewer_can_be_equal():
    for rows in range(4, 9):
        groups = [sizes for sizes in partitions(rows) if len(sizes) > 1]
        most = max(sum(size * (size - 1) // 2 for size in sizes) for sizes in groups)
        assert equal_pairs(rows) == most


def partitions(total, largest=None):
    """Sizes of groups that add up to a total."""
    if total == 0:
        yield []
    for size in range(min(total, largest or total), 0, -1):
        for rest in partitions(total - size, size):
            yield [size, *rest]


def test_without_seeds_the_test_of_two_means_is_scipys_paired_t():
    first, second = np.random.default_rng(0).random((2, 40))
    p = over_images([first.mean(), second.mean()], [[first], [second]], [(0.0, 1)] * 2)
    assert p[0, 1] == pytest.approx(stats.ttest_rel(first, second).pvalue)


def test_spread_over_seeds_alone_is_welchs_test():
    first, second = [0.90, 0.92, 0.91], [0.80, 0.88, 0.85, 0.86]
    seeds = [(np.var(x, ddof=1) / len(x), len(x)) for x in (first, second)]
    same = np.full(50, 0.5)  # no image moves the difference
    p = over_images([np.mean(first), np.mean(second)], [[same], [same]], seeds)
    assert p[0, 1] == pytest.approx(stats.ttest_ind(first, second, equal_var=False).pvalue)


def test_intervals_give_the_normal_test_of_independent_values():
    p = over_intervals([0.95, 0.90], [0.01, 0.02], [(0.0, 1)] * 2)
    assert p[0, 1] == pytest.approx(2 * stats.norm.sf(0.05 / np.hypot(0.01, 0.02)), rel=1e-6)


def test_no_spread_is_no_evidence():
    same = np.ones(30)
    assert over_images([1.0, 0.9], [[same], [same]], [(0.0, 1)] * 2)[0, 1] == 1.0


def test_a_rank_is_a_range_that_untested_pairs_leave_open():
    means = [0.9, 0.8, 0.7]
    p = np.array([[1, 0.5, 1e-4], [0.5, 1, 0.5], [1e-4, 0.5, 1]])
    assert all_pairs(p, means).ranges() == [(1, 2), (1, 3), (2, 3)]
    apart = np.full((3, 3), 1e-9)
    assert all_pairs(apart, means).ranges() == [(1, 1), (2, 2), (3, 3)]


def equal_models(rng, rows, seeds):
    """Scores of equal models on the same images, and the labels.

    Some images are hard for all, which pairs the models; seeds drift, which no image reveals. One
    seed stands for a model without randomness.
    """
    labels = np.repeat([0, 1], rng.integers(20, 100, 2))
    hard, noise = rng.normal(size=len(labels)), rng.normal(size=(rows, seeds, len(labels)))
    drift = rng.normal(scale=0.4 if seeds > 1 else 0.0, size=(rows, seeds, 1))
    return hard + noise + (rng.uniform(1, 4) + drift) * labels, labels


def over_images_of(scores, labels):
    runs = [[unpack("image_auroc", pack_scores(s, labels)).groups for s in own] for own in scores]
    values = np.array([[groups[0].mean() for groups in own] for own in runs])
    seeds = values.shape[1]
    groups = [[np.mean(group, axis=0) for group in zip(*own, strict=True)] for own in runs]
    errors = [(own.var(ddof=1) / seeds if seeds > 1 else 0.0, seeds) for own in values]
    means = values.mean(1)
    return all_pairs(over_images(means, groups, errors), means)


@pytest.mark.slow
def test_equal_models_have_a_winner_in_at_most_5_percent_of_leaderboards():
    rng, winners, differences = np.random.default_rng(16), 0, 0
    for _ in range(1_000):
        tested = over_images_of(*equal_models(rng, rng.integers(2, 7), rng.choice([1, 3, 5])))
        winners += (1, 1) in tested.ranges()
        differences += bool(tested.better.any())
    assert winners <= differences <= 50


@pytest.mark.slow
@pytest.mark.parametrize("share", [1, 0.5])
def test_equal_models_have_no_winner_over_categories_either(share):
    """All rows are equal, or the better half of them."""
    rng, differences = np.random.default_rng(16), 0
    for _ in range(1_000):
        rows, blocks = rng.choice([(2, 6), (2, 15), (3, 7), (5, 8), (6, 15), (15, 12)])
        equal = max(2, int(share * rows))
        quality = np.where(np.arange(rows) < equal, 0, -3)[:, None]
        # Categories differ in how hard they are, and near 1 there is little room.
        values = expit(rng.normal(3, 1.5, blocks) + quality + rng.normal(0, 0.5, (rows, blocks)))
        if rows > 2 and friedman_p(values) >= 0.05:
            continue
        tested = all_pairs(over_blocks(values), values.mean(1), equal_pairs(rows))
        differences += bool(tested.better[:equal, :equal].any())
    assert differences <= 50


@pytest.mark.slow
def test_the_best_of_equal_rows_needs_the_correction_for_all_pairs():
    """Half of 20 rows are equal: 19 tests against the best do not account for its choice."""
    rng, found = np.random.default_rng(16), {"against the best": 0, "all pairs": 0}
    for _ in range(1_000):
        quality = np.where(np.arange(20) < 10, 0, -3)[:, None]
        values = expit(rng.normal(3, 1.5, 15) + quality + rng.normal(0, 0.5, (20, 15)))
        p, means = over_blocks(values), values.mean(1)
        best = int(means.argmax())
        others = [row for row in range(20) if row != best]
        corrected = dict(zip(others, holm(p[best, others]), strict=True))
        found["against the best"] += min(corrected[row] for row in others if row < 10) < 0.05
        tested = all_pairs(p, means, equal_pairs(20))
        found["all pairs"] += bool(tested.better[:10, :10].any())
    assert found["all pairs"] <= 50 < found["against the best"]


def test_a_better_model_does_win():
    rng = np.random.default_rng(5)
    values = expit(rng.normal(3, 1.5, 15) + rng.normal(0, 0.2, (4, 15)) + [[1.5], [0], [0], [0]])
    assert friedman_p(values) < 0.05
    assert all_pairs(over_blocks(values), values.mean(1)).ranges()[0] == (1, 1)
