"""Predicting a whole test set with a classifier, and judging what came out."""

import torch
from torch import Tensor, nn

from bench.metrics.class_figures import Classification, check_balanced
from bench.metrics.classification import ClassificationCounts
from bench.metrics.wilson import wilson_interval
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


def evaluate_classifier(logits: Tensor, test: LabeledSplit) -> Classification:
    """All figures of a test set's ``(N, classes)`` logits.

    Raises:
        ContradictoryFiguresError: Figures that must agree do not.
    """
    counts = ClassificationCounts(len(test.classes), logits.device)
    counts.update(logits, test.labels)
    found = counts.result()
    check_against_logits(found, logits, test.labels)
    return found


def check_against_logits(found: Classification, logits: Tensor, labels: Tensor) -> None:
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


def note_figures(record: Record, found: Classification, unseen: int) -> None:
    """Put the figures, their interval and what is unusual about them into a record.

    Args:
        record: With its epochs.
        found: What was judged.
        unseen: Classes without a training image.
    """
    images, classes = int(found.confusion.sum()), len(found.confusion)
    right = int(found.confusion.diagonal().sum())
    best = max(value for _, value in record.epochs)
    record.metrics[HEAD] = {**found.metrics, "top1_best_epoch": best}
    record.intervals[HEAD] = {"top1": list(wilson_interval(right, images))}
    record.reasons |= {f"{HEAD}.{name}": reason for name, reason in found.reasons.items()}
    record.notes |= {f"{HEAD}.{name}": note for name, note in found.notes.items()}
    unusual = []
    if unseen:
        unusual.append(f"{unseen} of {classes} classes have no training image")
    if found.tied:
        unusual.append(
            f"{found.tied} of {images} images count as wrong because another class ties with the "
            "truth for the highest score"
        )
    if unusual:
        record.notes[f"{HEAD}.top1"] = "; ".join(unusual)
