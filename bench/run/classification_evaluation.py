"""Predicting a whole test set with a classifier, and judging what came out."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench.metrics.classes import check_balanced
from bench.metrics.evaluation import MetricValues, classification_metrics
from bench.metrics.paired import wilson_interval
from bench.record import Record
from bench.run.evaluate import NonFiniteScoresError
from bench.run.labeled_split import LabeledSplit
from bench.run.training.precision import to_float

HEAD = "last_epoch"
"""The scoring head: the model as training left it; no test figure chose it."""

EVALUATION_BATCH = 512


class ContradictoryFiguresError(Exception):
    """Two figures that must agree do not: the harness is wrong, and no figure may be kept."""


def predict_logits(network: nn.Module, split: LabeledSplit, device: torch.device) -> Tensor:
    """``(N, classes)`` float32 logits on the device, in evaluation mode and full precision.

    Raises:
        NonFiniteScoresError: A logit is NaN or infinite.
    """
    was_training = network.training
    network.eval()
    everything = split.batches(torch.arange(len(split)), EVALUATION_BATCH)
    with torch.inference_mode():
        logits = torch.cat([network(to_float(images, device)) for images, _ in everything])
    network.train(was_training)
    if broken := int((~logits.isfinite()).any(1).sum()):
        raise NonFiniteScoresError(
            f"The model gave {broken} of {len(split)} test images a logit that is NaN or infinite, "
            "so it cannot be judged. Its training diverged: lower the learning rate or set "
            "grad_clip in the model's recipe."
        )
    return logits


def evaluate_classifier(
    logits: Tensor, test: LabeledSplit, epochs: Sequence[float] | None = None
) -> MetricValues:
    """Return all metrics of a test set's ``(N, classes)`` logits.

    Args:
        logits: Scores of every test image.
        test: The test set.
        epochs: Top-1 on it after every epoch, or None.

    Raises:
        ContradictoryFiguresError: Metrics that must agree do not.
    """
    values = classification_metrics(logits, test.labels, epochs)
    check_against_logits(values, logits, test.labels)
    return values


def check_against_logits(found: MetricValues, logits: Tensor, labels: Tensor) -> None:
    """Compare figures from counts with what the logits themselves say, counted another way.

    Top-1 must be the share of images whose truth alone scores highest; on a set with as many images
    of every class, macro recall must be the same.

    Raises:
        ContradictoryFiguresError: They differ.
    """
    labels = labels.to(logits.device)
    of_truth = logits.gather(1, labels[:, None])[:, 0]
    of_others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    top1 = float((of_truth > of_others).double().mean())
    if abs(top1 - found.metrics["top1"]) > 1e-9:
        raise ContradictoryFiguresError(
            f"top-1 is {found.metrics['top1']:.6g} by the confusion matrix and {top1:.6g} by the "
            "logits: one of the two is wrong"
        )
    support = labels.bincount(minlength=logits.shape[1])
    if wrong := check_balanced(top1, found.metrics["macro_recall"], support):
        raise ContradictoryFiguresError(wrong)


def note_figures(record: Record, found: MetricValues, test: LabeledSplit, unseen: int) -> None:
    """Put the figures, their interval and what is unusual about them into a record.

    Args:
        record: Record of the case.
        found: Metrics of the test set.
        test: The test set.
        unseen: Classes without a training image.
    """
    images, classes = len(test), len(test.classes)
    right = round(found.metrics["top1"] * images)
    record.metrics[HEAD] = dict(found.metrics)
    record.intervals[HEAD] = {"top1": list(wilson_interval(right, images))}
    record.reasons |= {f"{HEAD}.{name}": reason for name, reason in found.reasons.items()}
    record.notes |= {f"{HEAD}.{name}": note for name, note in found.notes.items()}
    if unseen:
        note = f"{unseen} of {classes} classes have no training image"
        tied = found.notes.get("top1")
        record.notes[f"{HEAD}.top1"] = f"{note}; {tied}" if tied else note
