"""Logits of a whole test set, and the metrics of a classifier."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bench.metrics.classes import check_balanced
from bench.metrics.evaluation import MetricValues, classification_metrics
from bench.metrics.outcomes import pack_right
from bench.metrics.paired import wilson_interval
from bench.run.device import untuned
from bench.run.labeled_split import LabeledSplit
from bench.run.predict import NonFiniteScoresError
from bench.run.task import Evaluation
from bench.run.training.precision import to_float
from models.components.base import Classifier, ModelContractError

HEAD = "last_epoch"
"""The head: the model as training left it, which no test metric chose."""

EVALUATION_BATCH = 512


class ContradictoryMetricsError(Exception):
    """Two metrics that must agree do not: the harness has a bug, and no number may be kept."""


def predict_logits(model: Classifier, split: LabeledSplit, device: torch.device) -> Tensor:
    """Return ``(N, classes)`` float32 logits on the device, in evaluation mode.

    Raises:
        NonFiniteScoresError: A logit is NaN or infinite.
    """
    was_training = model.training
    model.eval()
    everything = split.batches(torch.arange(len(split)), EVALUATION_BATCH)
    with torch.inference_mode():
        logits = torch.cat([model.predict(to_float(images, device)) for images, _ in everything])
    model.train(was_training)
    if broken := int((~logits.isfinite()).any(1).sum()):
        raise NonFiniteScoresError(
            f"The model gave {broken} of {len(split)} test images a logit that is NaN or infinite, "
            "so it cannot be evaluated. Its training diverged: lower the learning rate or set "
            "grad_clip in the model's recipe."
        )
    return logits


def check_logits(model: Classifier, split: LabeledSplit, device: torch.device) -> None:
    """Check that a network gives one logit per image and class.

    Raises:
        ModelContractError: It does not.
    """
    images = to_float(split.images(2), device)
    model.eval()
    forked = torch.random.fork_rng([device] if device.type == "cuda" else [])
    with torch.inference_mode(), untuned(), forked:
        logits = model.predict(images)
    wanted = (len(images), len(split.classes))
    if logits.shape != wanted:
        raise ModelContractError(
            f"{type(model).__name__}: wanted logits of shape {wanted}, found "
            f"{tuple(logits.shape)}. Return one logit per image and class."
        )


def top1_of(model: Classifier, split: LabeledSplit, device: torch.device) -> float:
    """Return a model's top-1 accuracy on a split."""
    return checked_metrics(predict_logits(model, split, device), split).metrics["top1"]


def checked_metrics(
    logits: Tensor, test: LabeledSplit, epochs: Sequence[float] | None = None
) -> MetricValues:
    """Return all metrics of a test set's ``(N, classes)`` logits.

    Args:
        logits: Logits of every test image.
        test: The test split.
        epochs: Top-1 on the test split after every epoch, or None.

    Raises:
        ContradictoryMetricsError: Metrics that must agree do not.
    """
    values = classification_metrics(logits, test.labels, epochs)
    check_against_logits(values, logits, test.labels)
    return values


def check_against_logits(values: MetricValues, logits: Tensor, labels: Tensor) -> None:
    """Compare metrics from counts with values computed from the logits in another way.

    Top-1 must be the share of images whose true class alone scores highest; on a set with equally
    many images per class, macro recall must be the same.

    Raises:
        ContradictoryMetricsError: They differ.
    """
    labels = labels.to(logits.device)
    top1 = float(right_of(logits, labels).double().mean())
    if abs(top1 - values.metrics["top1"]) > 1e-9:
        raise ContradictoryMetricsError(
            f"top-1 is {values.metrics['top1']:.6g} by the confusion matrix and {top1:.6g} by the "
            "logits: one of the two is wrong"
        )
    support = labels.bincount(minlength=logits.shape[1])
    if wrong := check_balanced(top1, values.metrics["macro_recall"], support):
        raise ContradictoryMetricsError(wrong)


def right_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Return ``(N,)`` booleans: whether the true class alone scores highest."""
    of_truth = logits.gather(1, labels[:, None])[:, 0]
    return of_truth > logits.scatter(1, labels[:, None], -torch.inf).amax(1)


def evaluate_logits(
    logits: Tensor, test: LabeledSplit, epochs: Sequence[float], *, unseen: int
) -> Evaluation:
    """Return metrics, their interval and what is unusual about them.

    Args:
        logits: ``(N, classes)``.
        test: The test split.
        epochs: Top-1 on the test split after every epoch; it chooses nothing.
        unseen: Number of classes without a training image.
    """
    values = checked_metrics(logits, test, epochs)
    correct = round(values.metrics["top1"] * len(test))
    right = right_of(logits, test.labels.to(logits.device))
    notes = {f"{HEAD}.{name}": note for name, note in values.notes.items()}
    if unseen:
        note = f"{unseen} of {len(test.classes)} classes have no training image"
        notes[f"{HEAD}.top1"] = "; ".join(filter(None, (note, values.notes.get("top1"))))
    return Evaluation(
        metrics={HEAD: values.metrics},
        intervals={HEAD: {"top1": list(wilson_interval(correct, len(test)))}},
        outcomes={HEAD: {"top1": pack_right(right.cpu())}},
        reasons={f"{HEAD}.{name}": reason for name, reason in values.reasons.items()},
        notes=notes,
    )
