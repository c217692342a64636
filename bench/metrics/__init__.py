"""Exact metrics on raw scores; a function that cannot give a number says why.

Everywhere a score *greater than* the threshold means defective; a score equal to it is normal.
Scores are ranked as the model gave them: no sigmoid, no clamp, no rescaling.
"""

SEES_TEST_LABELS = frozenset(
    {
        "best_f1",
        "f1_best",
        "accuracy_best_f1",
        "precision_best_f1",
        "recall_best_f1",
        "pixel_best_f1",
        "pixel_f1_best",
        "f1_percentile",
        "f1_uniform",
        "youden_j",
        "normal_p95",
        "top1_best_epoch",
    }
)
"""Names of metrics and thresholds chosen by the test labels they are judged on; never ranked by."""
