"""Focal loss, probabilities and scores of segmented defects against their formulas in float64."""

import math

import numpy as np
import pytest
import torch

from models.components.segmentation import (
    defect_probability,
    focal_loss,
    score_by_mean_of_window,
)


def test_focal_loss_is_of_the_softmax_of_raw_logits():
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(2, 2, 6, 7, generator=generator)
    masks = torch.rand(2, 6, 7, generator=generator) < 0.3
    total = 0.0
    for image, row, column in np.ndindex(2, 6, 7):
        pair = [logits[image, c, row, column].item() for c in (0, 1)]
        exponentials = [math.exp(value) for value in pair]
        p = exponentials[int(masks[image, row, column])] / sum(exponentials)
        total -= (1 - p) ** 2 * math.log(p)
    assert focal_loss(logits, masks).item() == pytest.approx(total / 84, rel=1e-5)


def test_focal_loss_is_finite_for_sure_and_wrong_pixels():
    logits = torch.tensor([300.0, -300.0]).view(1, 2, 1, 1).requires_grad_()
    loss = focal_loss(logits, torch.ones(1, 1, 1, dtype=torch.bool))
    loss.backward()
    assert loss.item() == pytest.approx(600)
    assert logits.grad.isfinite().all()


def test_probability_is_the_softmax_of_the_second_class():
    logits = 3 * torch.randn(2, 2, 4, 5, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(defect_probability(logits), logits.softmax(1)[:, 1])


def test_score_is_the_largest_mean_of_a_window_of_21_pixels():
    maps = torch.rand(3, 30, 40, generator=torch.Generator().manual_seed(2))
    prediction = score_by_mean_of_window(maps)
    assert torch.equal(prediction.maps, maps)
    for number in range(3):
        padded = np.pad(maps[number].double().numpy(), 10)
        means = [padded[r : r + 21, c : c + 21].mean() for r, c in np.ndindex(30, 40)]
        assert prediction.scores[number].item() == pytest.approx(max(means), rel=1e-5)
