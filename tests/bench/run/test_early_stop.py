"""Early stop: means of passes by brute force, and where training ends."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from bench.protocol import PROFILES, resolve
from bench.run.training.early_stop import pass_means, stops_early
from bench.run.training.loop import fit
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


def test_passes_that_began_in_an_earlier_phase_do_not_count():
    losses = np.random.default_rng(0).random(12).tolist()
    passes = pass_means(losses, 4, 6)
    for first in range(1, 12):
        begins = [0, 2, 3, 5, 6, 8, 9, 11]  # steps of four images, passes of six
        expected = [mean for mean, begin in zip(passes, begins, strict=True) if begin >= first]
        assert pass_means(losses, 4, 6, first) == expected


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


class Phases(torch.nn.Module):
    """A parameter whose gradient is one in the first half of the steps and zero in the second."""

    last_phase = Fraction(1, 2)

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def parameter_groups(self):
        return [(1.0, [self.weight])]

    def trainable_parameters(self):
        return [self.weight]

    def checkpoint(self):
        return self.state_dict()


class Steps:
    """An objective whose loss never falls."""

    count = 4

    def __init__(self, model):
        self.model = model

    def batches(self, order, batch, first):
        return iter(order.split(batch))

    def gradient(self, batch, step):
        self.model.weight.grad = torch.zeros(())
        return torch.ones(())

    def maybe_compile(self, step_seconds, steps_left):
        pass


def test_only_the_last_phase_of_a_model_ends_training(tmp_path):
    plan = resolve(MODELS["rd_resnet18"], "baseline", PROFILES["original"])
    recipe = replace(plan.recipe, epochs=20, batch_size=4, patience=2)
    model = Phases()
    options = {"seed": 0, "device": torch.device("cpu"), "report": lambda *_: None}
    result = fit(
        model, Steps(model), replace(plan, recipe=recipe), checkpoint=tmp_path / "c", **options
    )
    assert result.steps == 10 + 3
    assert "has not fallen" in result.stopped
