"""AUROC, AP and the best F1 against scikit-learn in 208 random and adversarial cases."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from bench.metrics.precision_recall import average_precision, f1_max
from bench.metrics.ranking import auroc_of, rank_positives
from bench.metrics.thresholds import confusion

TINY = float(np.finfo(np.float32).smallest_subnormal)


def scores_of(kind, rng, labels):
    count = len(labels)
    return {
        "normal": rng.normal(30, 5, count) + 3 * labels,
        "ties": rng.integers(0, 4, count) + labels,
        "constant": np.full(count, 7.5),
        "denormal": rng.integers(-3, 4, count) * TINY,
        "neighbors": 1 + rng.integers(0, 3, count) * 2.0**-23,
        "infinite": rng.choice([-math.inf, 0.0, -0.0, 1.0, math.inf], count),
        "huge": rng.normal(0, 1, count) * 3e37,
        "reversed": -rng.normal(0, 1, count) - 9 * labels,
    }[kind]


KINDS = [
    "normal",
    "ties",
    "constant",
    "denormal",
    "neighbors",
    "infinite",
    "huge",
    "reversed",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_all_three_are_scikit_learns(kind, dtype):
    for seed in range(13):
        rng = np.random.default_rng(seed)
        count = int(rng.integers(2, 300))
        labels = rng.random(count) < rng.choice([0.05, 0.5])
        labels[0], labels[1] = True, False  # at times the only positive
        scores = scores_of(kind, rng, labels).astype(dtype)
        # scikit-learn refuses infinities, which are ordinary values here: it gets dense ranks.
        values, ordered = np.unique(scores, return_inverse=True)
        ranks = rank_positives(torch.from_numpy(scores), torch.from_numpy(labels))
        near = {"abs": 1e-12, "rel": 0}
        assert auroc_of(ranks) == pytest.approx(roc_auc_score(labels, ordered), **near)
        assert average_precision(ranks) == pytest.approx(
            average_precision_score(labels, ordered), **near
        )

        precision, recall, thresholds = precision_recall_curve(labels, ordered)
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-300)
        can_be_flagged = values[thresholds.astype(int)] > -np.inf
        value, threshold = f1_max(ranks)
        if np.isneginf(scores[labels]).all():
            assert math.isnan(value)
            continue
        assert value == pytest.approx(f1[:-1][can_be_flagged].max(), **near)
        flagged = confusion(torch.from_numpy(scores), torch.from_numpy(labels), threshold)
        assert flagged.f1 == pytest.approx(value, **near)


@pytest.mark.parametrize("labels", [torch.zeros(3).bool(), torch.ones(3).bool(), torch.ones(0)])
def test_one_class_has_neither(labels):
    ranks = rank_positives(torch.arange(float(len(labels))), labels.bool())
    assert math.isnan(average_precision(ranks))
    assert all(math.isnan(value) for value in f1_max(ranks))


def test_clamping_before_ranking_would_be_seen():
    """Scores above 1 that a clamp to [0, 1] would tie: the order among them counts."""
    labels = torch.tensor([0, 0, 1, 1])
    scores = torch.tensor([1.5, 2.0, 3.0, 4.0])
    assert average_precision(rank_positives(scores, labels)) == 1.0
    assert average_precision(rank_positives(scores.clamp(0, 1), labels)) == 0.5
