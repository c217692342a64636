"""AUROC by size of defect against pandas and scikit-learn."""

import numpy as np
import pandas
import pytest
import torch
from sklearn.metrics import roc_auc_score

from bench.metrics.defect_size import auroc_by_area
from bench.metrics.regions import label_regions


def images(seed, normal=30, defective=41, side=16):
    rng = np.random.default_rng(seed)
    masks = np.zeros((normal + defective, side, side), bool)
    for mask in masks[normal:]:
        height, width = rng.integers(1, 9, 2)
        mask[:height, :width] = True
        mask[15, 15] = rng.random() < 0.5  # a second region of the same image
    scores = rng.normal(size=len(masks)) + np.sqrt(masks.sum((1, 2))) / 4
    return torch.from_numpy(scores), torch.from_numpy(masks)


@pytest.mark.parametrize("seed", range(5))
def test_quarters_are_those_of_pandas_and_their_aurocs_scikit_learns(seed):
    scores, masks = images(seed)
    areas = masks.sum((1, 2)).numpy()
    labels = areas > 0
    found, limits = auroc_by_area(scores, masks.any(2).any(1), label_regions(masks))
    ends = pandas.Series(areas[labels]).quantile([0.25, 0.5, 0.75], interpolation="higher")
    assert sum(abs(a * 256 - b) <= 1 for a, b in zip(limits, ends, strict=True)) == 3
    for number, (low, high) in enumerate(zip([0, *limits], [*limits, 1.0], strict=True)):
        own = ~labels | (areas > low * 256) & (areas <= high * 256)
        expected = roc_auc_score(labels[own], scores.numpy()[own])
        assert found[f"q{number + 1}"] == pytest.approx(expected)


def test_small_defects_that_a_model_misses_show_in_the_first_quarter():
    masks = torch.zeros(48, 8, 8, dtype=torch.bool)
    for number, mask in enumerate(masks[8:]):
        mask.view(-1)[: 1 + number] = True
    areas = masks.sum((1, 2))
    scores = torch.where(areas > 10, areas.double(), torch.zeros(48).double())
    scores[:8] = torch.arange(8) / 8
    found, _ = auroc_by_area(scores, areas > 0, label_regions(masks))
    assert found["q1"] < 0.2
    assert [found[name] for name in ("q2", "q3", "q4")] == [1.0, 1.0, 1.0]


def test_images_of_one_area_stay_together_and_leave_quarters_empty():
    masks = torch.zeros(9, 4, 4, dtype=torch.bool)
    masks[1:, 0, 0] = True
    found, limits = auroc_by_area(torch.arange(9.0), masks.any(2).any(1), label_regions(masks))
    assert found["q1"] == 1.0
    assert all(np.isnan(found[name]) for name in ("q2", "q3", "q4"))
    assert limits == [1 / 16] * 3


def test_three_defects_have_no_quarters():
    masks = torch.zeros(5, 4, 4, dtype=torch.bool)
    masks[2:, 0, 0] = True
    assert auroc_by_area(torch.arange(5.0), masks.any(2).any(1), label_regions(masks)) == ({}, [])
