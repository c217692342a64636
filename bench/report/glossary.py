"""What the columns of the tables mean, explained once at the end of a document."""

from bench.aggregate.language import say
from bench.aggregate.ranking import MIN_REPLICATES
from bench.metrics.catalog import Metric

_UNTESTED = (
    "Not used for ranking, so not tested here: `python -m bench compare ID_A ID_B` tests two "
    "runs on the maps that they saved."
)

_OF_METRICS = {
    **dict.fromkeys(
        ("accuracy", "precision", "recall", "f1"),
        "At the calibrated threshold, the 95 % quantile of the scores of held-out normal training "
        "images. It has seen no test image.",
    ),
    "false_alarms": (
        "The share of normal test images above the calibrated threshold; the target is 5 %."
    ),
    "top1_best_epoch": (
        "The epoch with the best top-1 on the test set, as the original study reports it. It "
        "is optimistic, so it is never bold and never ranks."
    ),
    "top1": "After the last epoch.",
    "macro_recall": "Mean over classes, after the last epoch.",
    "macro_precision": "Mean over classes, after the last epoch.",
    "macro_f1": "Mean over classes, after the last epoch.",
    **dict.fromkeys(("pixel_auroc", "pixel_ap", "aupro_30"), _UNTESTED),
    "aupro_05": (
        "Area under the per-region overlap up to 5 % false positives: it can still distinguish "
        "models whose AUROC is near 100."
    ),
}

_TEST_CHOSEN = (
    "At the threshold with the best F1 on the test labels, as in the literature. It is optimistic, "
    "so it is never bold and never ranks."
)

_SPEED = "Steady state; runs that were disturbed or had another number of threads are left out."

_OF_MEASUREMENTS = {
    "fit_seconds": (
        "From data to a finished model, including the features of a frozen backbone even where "
        "they came from a cache."
    ),
    "numbers_kept": "Parameters and buffers of the checkpoint, without the frozen backbone.",
    "train_images_per_s": _SPEED,
    "inference_images_per_s": _SPEED,
    "latency_p50_ms": "One image at a time, steady state.",
    "inference_rise_device_bytes": "The rise after model and batch are loaded.",
    "inference_rise_host_bytes": "The rise after model and batch are loaded.",
}


def of_metric(metric: Metric, *, ranks: bool = False) -> str:
    """Return what a metric's column means; empty if the heading is self-explanatory.

    Args:
        metric: The metric.
        ranks: Whether it ranks in the study of the table.
    """
    text = _OF_METRICS.get(metric.name, _TEST_CHOSEN if metric.sees_test_labels else "")
    return say(text) if text and not (ranks and text == _UNTESTED) else ""


def of_measurement(name: str) -> str:
    """Return what a measurement's column means; empty if the heading is self-explanatory."""
    return say(_OF_MEASUREMENTS[name]) if name in _OF_MEASUREMENTS else ""


def of_rank() -> str:
    """Return which rows rank, and what a range means."""
    return say(
        "Rows are ranked only on the same images, each model at its own size, after their whole "
        "budget; models with randomness need {count} replicates. A range of ranks means that the "
        "tests cannot narrow it down further. Pixel metrics are of maps at each model's own size.",
        count=MIN_REPLICATES,
    )


def of_seeds() -> str:
    """Return how values over several seeds are written."""
    return say(
        "Number of seeds. Values are means ± half of the 95 % confidence interval over seeds "
        "(Student's t), or mean [interval] on the logit scale where ± would leave 0 to 100. One "
        "seed has no interval; a model without randomness needs none."
    )


def of_scratch() -> str:
    """Return what the word after a model's name means."""
    return say("After a model's name: trained from random weights although pretrained ones exist.")


def of_budget() -> str:
    """Return what the share of the budget means."""
    return say(
        "Share of the profile's training budget that a run used; only 100 % can be ranked. The "
        "`standard` profile trains most models less than their papers do."
    )


def of_bold() -> str:
    """Return what bold means."""
    return say("The best mean of the ranked rows, unless another row shows the same value.")
