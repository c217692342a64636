"""A classifier's metrics against scikit-learn, torchmetrics and loops over images."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)
from torchmetrics.functional.classification import (
    multiclass_calibration_error,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from bench.metrics.classes import BINS, ClassInputs, check_balanced, ece
from bench.metrics.evaluation import classification_metrics


def batch(seed, images=200, classes=7, skill=2.0, absent=()):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(classes, (images,), generator=generator)
    for label in absent:
        labels[labels == label] = 0
    logits = torch.randn(images, classes, generator=generator)
    logits[torch.arange(images), labels] += skill
    return logits, labels


def scikit_learns(predicted, labels):
    """Macro averages over the classes that occur in the labels."""
    present = np.unique(labels)
    means = precision_recall_fscore_support(
        labels, predicted, labels=present, average="macro", zero_division=0
    )
    return dict(zip(("macro_precision", "macro_recall", "macro_f1"), means[:3], strict=True))


def calibration_error_by_image(logits, labels):
    """Guo et al. 2017, equation 3, in plain floats: bins ((b − 1)/15, b/15]."""
    bins = [[] for _ in range(BINS)]
    for row, label in zip(logits.double().tolist(), labels.tolist(), strict=True):
        odds = [math.exp(value - max(row)) for value in row]
        confidence = max(odds) / sum(odds)
        place = next(b for b in range(BINS) if confidence <= (b + 1) / BINS)
        bins[place].append((row.index(max(row)) == label, confidence))
    return sum(abs(sum(r for r, _ in b) - sum(c for _, c in b)) for b in bins) / len(labels)


@pytest.mark.parametrize("seed", range(60))
def test_figures_are_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 13))
    absent = tuple(range(1, 1 + int(rng.integers(0, classes - 1))))
    logits, labels = batch(seed, int(rng.integers(1, 150)), classes, rng.uniform(-2, 6), absent)
    found, predicted = classification_metrics(logits, labels), logits.argmax(1)
    expected = {
        "top1": accuracy_score(labels, predicted),
        **scikit_learns(predicted.numpy(), labels.numpy()),
        "ece": calibration_error_by_image(logits, labels),
    }
    if classes > 5:
        scores = logits.numpy()
        expected["top5"] = top_k_accuracy_score(labels, scores, k=5, labels=range(classes))
    else:
        expected["top5"] = 1.0
        assert found.notes["top5"] == f"{classes} classes only: top-{classes}, always right"
    assert found.metrics == pytest.approx(expected, abs=1e-10)
    assert found.reasons == {}
    inputs = ClassInputs(logits, labels)
    assert inputs.tied == 0
    counts = confusion_matrix(labels, predicted, labels=range(classes))
    assert inputs.confusion.tolist() == counts.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_torchmetrics(seed):
    logits, labels = batch(seed, classes=6)
    found = classification_metrics(logits, labels).metrics
    arguments = (logits, labels, 6)
    assert found["macro_precision"] == pytest.approx(float(multiclass_precision(*arguments)))
    assert found["macro_recall"] == pytest.approx(float(multiclass_recall(*arguments)))
    assert found["macro_f1"] == pytest.approx(float(multiclass_f1_score(*arguments)))
    # torchmetrics sums in float32; no logits are tied here.
    theirs = multiclass_calibration_error(logits.softmax(1), labels, 6, n_bins=BINS)
    assert found["ece"] == pytest.approx(float(theirs), abs=1e-6)


@pytest.mark.parametrize("classes", [2, 6, 40])
def test_a_constant_output_is_never_right(classes):
    labels = torch.arange(5 * classes) % classes
    logits = torch.zeros(5 * classes, classes)
    found, inputs = classification_metrics(logits, labels), ClassInputs(logits, labels)
    assert found.metrics["top1"] == found.metrics["macro_recall"] == found.metrics["macro_f1"] == 0
    assert found.metrics["top5"] == (1.0 if classes <= 5 else 0.0)
    assert inputs.tied == 5 * classes
    assert f"{5 * classes} of {5 * classes} images" in found.notes["top1"]
    assert int(inputs.confusion.diagonal().sum()) == 0
    assert inputs.confusion.sum(1).tolist() == [5] * classes


def test_ties_by_hand():
    logits = torch.tensor(
        [
            [3.0, 3.0, 1.0, 1.0, 1.0, 1.0, 0.0],  # tied first: wrong, predicted 1; second of five
            [0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 2.0],  # truth 1 tied with four others: rank 6
            [0.0, 9.0, 9.0, 1.0, 1.0, 1.0, 2.0],  # truth 3 below a tie of others: predicted 1
        ]
    )
    labels = torch.tensor([0, 1, 3])
    found, inputs = classification_metrics(logits, labels), ClassInputs(logits, labels)
    assert inputs.tied == 1
    assert found.metrics["top1"] == 0.0
    assert found.metrics["top5"] == pytest.approx(1 / 3)
    assert {tuple(cell) for cell in inputs.confusion.nonzero().tolist()} == {(0, 1), (1, 6), (3, 1)}


def test_absent_classes_are_left_out_and_reported():
    logits, labels = batch(3, absent=(2, 5))
    found = classification_metrics(logits, labels)
    assert ClassInputs(logits, labels).absent == (2, 5)
    assert "2 of 7 classes have no test image" in found.notes["macro_recall"]
    assert (logits.argmax(1) == 2).any()
    # torchmetrics averages over 7 classes as soon as the absent ones are predicted.
    theirs = float(multiclass_recall(logits, labels, 7))
    assert found.metrics["macro_recall"] == pytest.approx(theirs * 7 / 5)


def test_one_class():
    found = classification_metrics(torch.zeros(3, 1), torch.zeros(3, dtype=torch.int64))
    assert found.metrics["top1"] == found.metrics["macro_f1"] == 1.0
    assert found.metrics["ece"] == 0.0


def test_nothing_to_judge():
    found = classification_metrics(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    assert all(math.isnan(value) for value in found.metrics.values())
    assert set(found.reasons) == set(found.metrics)


def test_certainty_falls_into_the_last_bin():
    logits = torch.tensor([[99.0, 0.0], [0.0, 99.0], [99.0, 0.0], [99.0, 0.0]])
    assert ece(ClassInputs(logits, torch.tensor([0, 1, 1, 0]))) == pytest.approx(0.25, abs=1e-10)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_logit_is_an_error(value):
    logits, labels = batch(5)
    logits[7, 3] = value
    with pytest.raises(ValueError, match=r"NaN.* 1 images"):
        classification_metrics(logits, labels)


@pytest.mark.parametrize(("label", "found"), [(7, "0 and 7"), (-1, "-1 and 6")])
def test_a_label_out_of_range_is_an_error(label, found):
    logits, labels = batch(6)
    labels[3] = label
    with pytest.raises(ValueError, match=rf"wanted labels in \[0, 7\), found 1 outside.*{found}"):
        classification_metrics(logits, labels)


def test_misfits_are_errors():
    logits, labels = batch(7)
    with pytest.raises(ValueError, match="one label per row"):
        classification_metrics(logits, labels[:5])
    with pytest.raises(ValueError, match="integer labels"):
        classification_metrics(logits, labels.float())
    with pytest.raises(ValueError, match=r"\(N, C\)"):
        classification_metrics(logits[0], labels)


def test_macro_recall_is_top1_of_a_balanced_set():
    logits, _ = batch(8, images=210)
    labels = torch.arange(210) % 7
    found = classification_metrics(logits, labels)
    assert found.metrics["macro_recall"] == pytest.approx(found.metrics["top1"], abs=1e-15)
    top1, recall = found.metrics["top1"], found.metrics["macro_recall"]
    support = labels.bincount()
    assert check_balanced(top1, recall, support) == ""
    assert "30 test images" in check_balanced(top1, recall + 0.01, support)


def test_the_published_misprint_is_found():
    assert "one of the two is wrong" in check_balanced(0.5278, 0.5228, [100] * 100, 5e-5)
    assert check_balanced(0.5278, 0.52776, [100] * 100, 5e-5) == ""
    assert check_balanced(0.5, 0.4, [3, 4]) == ""
    assert check_balanced(0.5, 0.4, [3, 0, 3]) != ""


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    """Confidences of exactly 1/3 (tied, so wrong) and just below 6/15 share no bin (a, b]."""
    logits = torch.zeros(5, 3, dtype=torch.float64)
    logits[2:, 0] = 0.01
    inputs = ClassInputs(logits, torch.zeros(5, dtype=torch.int64))
    assert inputs.bins[0, [4, 5]].tolist() == [2, 3]  # 1/3 is 5/15, the edge of bins 4 and 5
    assert inputs.bins[1, [4, 5]].tolist() == [0, 3]


def test_the_best_epoch_is_left_out_where_no_epoch_was_evaluated():
    logits, labels = batch(0)
    assert classification_metrics(logits, labels, [0.1, 0.4]).metrics["top1_best_epoch"] == 0.4
    assert "top1_best_epoch" not in classification_metrics(logits, labels).metrics
    assert classification_metrics(logits, labels, []).reasons["top1_best_epoch"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_the_same_metrics():
    logits, labels = batch(9)
    there = classification_metrics(logits.cuda(), labels)
    expected = classification_metrics(logits, labels).metrics
    assert there.metrics == pytest.approx(expected, abs=1e-10)


def test_order_changes_no_digit():
    logits, labels = batch(2)
    order = torch.randperm(200, generator=torch.Generator().manual_seed(0))
    shuffled = classification_metrics(logits[order], labels[order])
    assert shuffled.metrics == classification_metrics(logits, labels).metrics


def test_masked_classes_are_ordinary():
    logits = torch.tensor([[0.0, -math.inf, -math.inf], [0.0, -math.inf, -math.inf]])
    found = classification_metrics(logits, torch.tensor([0, 1]))
    assert found.metrics["top1"] == 0.5
    assert found.metrics["ece"] == 0.5
