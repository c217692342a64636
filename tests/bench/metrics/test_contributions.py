"""What a record stores of each test image gives the exact metric."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

from bench.metrics.comparison import compare_resampled
from bench.metrics.delong import auroc_test
from bench.metrics.outcomes import outcomes_of, pack_right, pack_scores, unpack


def draw(seed, images=200, levels=1_000):
    rng = np.random.default_rng(seed)
    labels = rng.random(images) < 0.4
    return (rng.integers(0, levels, images) + 300 * labels).astype(np.float32), labels


@pytest.mark.parametrize("levels", [4, 50, 1_000_000])
def test_packed_scores_keep_the_auroc_with_its_ties(levels):
    scores, labels = draw(levels, levels=levels)
    of_defective, of_normal = unpack("image_auroc", pack_scores(scores, labels)).groups
    expected = roc_auc_score(labels, scores)
    assert of_defective.mean() == pytest.approx(expected, rel=1e-12)
    assert of_normal.mean() == pytest.approx(expected, rel=1e-12)


def test_many_images_need_four_bytes_and_stay_exact():
    scores, labels = np.arange(40_000, dtype=np.float32), np.arange(40_000) % 2
    packed = pack_scores(scores, labels)
    assert packed.startswith("4:")
    assert unpack("image_auroc", packed).groups[0].mean() == pytest.approx(
        roc_auc_score(labels, scores)
    )


def test_placements_give_delongs_variance():
    (first, labels), (second, _) = draw(1), draw(2)
    runs = [unpack("image_auroc", pack_scores(x, labels)) for x in (first, second)]
    differences = [b - a for a, b in zip(runs[0].groups, runs[1].groups, strict=True)]
    error = np.sqrt(sum(d.var(ddof=1) / len(d) for d in differences))
    interval, _ = auroc_test(*map(torch.from_numpy, (first, second, labels)))
    assert 2 * 1.959963984540054 * error == pytest.approx(interval.high - interval.low)


@pytest.mark.parametrize("levels", [3, 20, 1_000_000])
def test_pseudo_values_are_those_of_leaving_each_image_out(levels):
    scores, labels = draw(levels, images=60, levels=levels)
    groups = unpack("image_ap", pack_scores(scores, labels)).groups
    whole = average_precision_score(labels, scores)
    for kind, found in zip((True, False), groups, strict=True):
        of_kind = np.flatnonzero(labels == kind)
        rest = [np.delete(np.arange(len(labels)), image) for image in of_kind]
        left = np.array([average_precision_score(labels[r], scores[r]) for r in rest])
        count = len(of_kind)
        assert found == pytest.approx(count * whole - (count - 1) * left)


@pytest.mark.parametrize("seed", range(3))
def test_the_jackknife_of_a_difference_of_ap_agrees_with_the_paired_bootstrap(seed):
    (first, labels), (second, _) = draw(1, 400), draw(1, 400)
    second = second + np.random.default_rng(seed).normal(0, 150, len(labels)).astype(np.float32)
    runs = [unpack("image_ap", pack_scores(x, labels)) for x in (first, second)]
    differences = [b - a for a, b in zip(runs[0].groups, runs[1].groups, strict=True)]
    error = np.sqrt(sum(d.var(ddof=1) / len(d) for d in differences))
    scores = [torch.from_numpy(x) for x in (first, second)]
    difference = compare_resampled("image_ap", *scores, torch.from_numpy(labels)).difference
    assert 2 * 1.96 * error == pytest.approx(difference.high - difference.low, rel=0.2)


@pytest.mark.parametrize("images", [1, 7, 8, 9, 1_000])
def test_right_images_come_back_one_by_one(images):
    right = np.random.default_rng(images).random(images) < 0.7
    assert unpack("top1", pack_right(right)).groups[0].tolist() == right.astype(float).tolist()


def test_a_record_grows_by_a_few_bytes_an_image():
    scores, labels = draw(3, images=500, levels=10**9)
    assert len(pack_scores(scores, labels)) < 3 * 500
    assert len(pack_right(labels)) < 500


def test_runs_are_averaged_only_over_the_same_labels():
    (first, labels), (second, others) = draw(1), draw(2)
    same = [pack_scores(x, labels) for x in (first, second)]
    mean = outcomes_of(same, "image_auroc")
    aurocs = [roc_auc_score(labels, x) for x in (first, second)]
    assert mean.groups[0].mean() == pytest.approx(np.mean(aurocs))
    assert outcomes_of([same[0], pack_scores(second, others)], "image_auroc") is None


@pytest.mark.parametrize("text", ["", "2:", "2:!!", "7:eJwDAAAAAAE=", "no"])
def test_what_cannot_be_read_is_no_outcome(text):
    assert outcomes_of([text], "image_auroc") is None
    assert outcomes_of([pack_scores([1.0, 2.0], [1, 1])], "image_auroc") is None
