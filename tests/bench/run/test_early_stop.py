"""Early stop: means of passes by brute force, and where training ends."""

from dataclasses import replace

import numpy as np
import pytest

from bench.run.training.early_stop import pass_means, stops_early
from models.catalog import MODELS

RECIPE = MODELS["rd_resnet18"].recipes["baseline"]


@pytest.mark.parametrize(("batch", "count"), [(1, 4), (3, 10), (4, 4), (7, 5), (8, 58)])
def test_a_step_counts_in_the_pass_that_it_ends_in(batch, count):
    losses = np.random.default_rng(0).random(40).tolist()
    expected, current = [], []
    seen = 0
    for loss in losses:
        current.append(loss)
        before, seen = seen // count, seen + batch
        if seen // count > before:
            expected.append(np.mean(current))
            current = []
    assert pass_means(losses, batch, count) == pytest.approx(expected)


def stop_after(means, **fields):
    """Number of passes after which training with these mean losses stops; None if it does not."""
    recipe = replace(RECIPE, **fields)
    for passes in range(1, len(means) + 1):
        losses = [value for mean in means[:passes] for value in (mean, mean)]
        if stops_early(losses, 5, 10, recipe):
            return passes
    return None


def test_training_stops_at_its_target():
    assert stop_after([0.5, 0.3, 0.1], target_loss=0.3) == 2
    assert stop_after([0.5, 0.4], target_loss=0.3) is None


def test_training_stops_when_its_loss_falls_no_more():
    means = [0.5, 0.3, 0.31, 0.32, 0.2, 0.25, 0.26, 0.27]
    assert stop_after(means, patience=2) == 4
    assert stop_after(means, patience=3) == 8
    assert stop_after([0.5, 0.495, 0.49, 0.3], patience=2, min_delta=0.1) == 3
    assert stop_after([0.5, 0.4, 0.3, 0.2], patience=1) is None


def test_nothing_stops_within_a_pass_or_unasked():
    assert stops_early([0.1], 5, 10, replace(RECIPE, target_loss=1.0)) == ""
    assert stops_early([], 5, 10, replace(RECIPE, target_loss=1.0)) == ""
    assert stops_early([0.1, 0.1], 5, 10, RECIPE) == ""
