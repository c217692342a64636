"""The report on thresholds: the specification's lines, with scikit-learn's figures."""

import re

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, confusion_matrix, f1_score, roc_auc_score

from bench.interface.threshold_report import Scores, threshold_report
from bench.metrics.thresholds import every_threshold

LINES = r"""=== Image-level Results ===
AUROC: D \(P%\)
AUPR: D \(P%\)

=== Thresholds ===
F1 \(Percentile\): D \| F1: D
F1 \(Uniform\): D \| F1: D
ROC \(Youden J\): D \| Sensitivity: D, Specificity: D
Percentile \(95%\): D

=== Confusion Matrix \(F1 Threshold\) ===
TP=N, FN=N, TN=N, FP=N
Accuracy: D, Precision: D, Recall: D
"""
"""The specification's report."""


@pytest.fixture
def drawn():
    rng = np.random.default_rng(5)
    labels = rng.random(187) < 0.5
    scores = (rng.normal(0.2, 0.03, 187) + 0.05 * labels).astype(np.float32)
    return scores, labels, rng.normal(0.2, 0.03, 30).astype(np.float32)


def report_of(scores, labels, held_out=None):
    scores, labels = torch.from_numpy(scores), torch.from_numpy(labels)
    calibration = None if held_out is None else torch.from_numpy(held_out)
    rules = every_threshold(scores, labels, calibration)
    thresholds = {r.name: None if r.value != r.value else r.value for r in rules}
    both = len(set(labels.tolist())) == 2
    metrics = {
        "image_auroc": roc_auc_score(labels, scores) if both else None,
        "image_ap": average_precision_score(labels, scores) if both else None,
    }
    return threshold_report(
        Scores(scores, labels, metrics, thresholds, held_out=0 if held_out is None else 30)
    )


def test_its_first_part_is_the_specifications_line_for_line(drawn):
    pattern = LINES.replace("P%", r"\d+\.\d%").replace("=N", r"=\d+").replace("D", r"\d+\.\d{3}")
    assert re.match(pattern, report_of(*drawn))


def test_its_figures_are_scikit_learns(drawn):
    scores, labels, _ = drawn
    text = report_of(*drawn)
    rules = every_threshold(*map(torch.from_numpy, drawn))
    value = {rule.name: rule.value for rule in rules}
    for rule, title in (("f1_percentile", "F1 (Percentile)"), ("f1_uniform", "F1 (Uniform)")):
        f1 = f1_score(labels, scores > np.float32(value[rule]))
        assert f"{title}: {value[rule]:.3f} | F1: {f1:.3f}" in text
    (tn, fp), (fn, tp) = confusion_matrix(labels, scores > np.float32(value["calibrated_p95"]))
    matrix = text.split("(Calibrated Threshold) ===\n")[1]
    assert matrix.startswith(f"TP={tp}, FN={fn}, TN={tn}, FP={fp}\n")
    assert f"Accuracy: {(tp + tn) / 187:.3f}" in matrix
    (tn, fp), (fn, tp) = confusion_matrix(labels, scores > np.float32(value["youden_j"]))
    rates = f"Sensitivity: {tp / (tp + fn):.3f}, Specificity: {tn / (tn + fp):.3f}"
    assert rates in text


def test_the_matrix_is_at_the_better_of_the_two_f1_thresholds(drawn):
    text = report_of(*drawn)
    percentile, uniform = map(float, re.findall(r"\| F1: ([\d.]+)", text))
    tp, fn, _, fp = map(int, re.search(r"TP=(\d+), FN=(\d+), TN=(\d+), FP=(\d+)", text).groups())
    assert 2 * tp / (2 * tp + fp + fn) == pytest.approx(max(percentile, uniform), abs=6e-4)


def test_it_says_which_thresholds_saw_test_labels(drawn):
    after = report_of(*drawn).split("Saw Test Labels ===\n")[1]
    assert re.search(r"Calibrated \(95%\): [\d.]+ \| from 30 normal images", after)
    without = report_of(*drawn[:2]).split("Saw Test Labels ===\n")[1]
    assert "Calibrated: none" in without


def test_a_test_set_of_one_class_has_dashes(drawn):
    scores, _, held_out = drawn
    text = report_of(scores, np.zeros(187, dtype=bool), held_out)
    assert "AUROC: –" in text
    assert "F1 (Percentile): – | F1: –" in text
    assert "nan" not in text
