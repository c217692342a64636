"""What a classifier confuses, how its features lie, and what its logits depend on, as pictures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench import plots as plots
from bench.metrics.classes import predicted_classes
from bench.run.attribution import attribution_maps
from bench.run.labeled_split import LabeledSplit
from bench.run.training.precision import to_float
from models.components.base import Classifier

_IMAGES = 1_000
"""Most test images whose features are drawn: t-SNE of so many takes seconds."""

_BATCH = 250
_OF_EACH_KIND = 8
"""Errors, and hits, whose attribution maps are drawn."""


def write_pictures(
    folder: Path, title: str, model: Classifier, test: LabeledSplit, logits: Tensor
) -> dict[str, Path]:
    """Draw the confusion matrix, the features and the attribution maps of a test set.

    Args:
        folder: Where they go.
        title: Above each.
        model: As training left it.
        test: Its test set.
        logits: ``(N, classes)`` of all of it.

    Returns:
        Paths by artifact name; ``features`` is missing where there is no spread to draw.

    Raises:
        OSError: A picture could not be written.
    """
    assert isinstance(model, nn.Module)
    labels = test.labels.to(logits.device)
    predicted = predicted_classes(logits, labels)
    classes = len(test.classes)
    counts = torch.bincount(labels * classes + predicted, minlength=classes**2)
    confusion = counts.view(classes, classes).cpu().numpy()
    was_training = model.training
    model.eval()
    written = {
        "confusion": plots.confusion_picture(
            confusion, test.classes, folder / "confusion.png", title
        ),
        "features": _features(folder / "features.png", title, model, test, confusion),
        "attributions": _attributions(
            folder / "attributions.jpg", title, model, test, logits.log_softmax(1), predicted
        ),
    }
    model.train(was_training)
    return {name: path for name, path in written.items() if path is not None}


def spread_over_classes(labels: Tensor, count: int) -> Tensor:
    """``(min(N, count),)`` places of images, every class in proportion, always the same."""
    by_class = labels.cpu().argsort(stable=True)
    take = torch.linspace(0, len(by_class) - 1, min(count, len(by_class))).round().long()
    return by_class[take].sort().values


def worst_and_surest(
    log_probabilities: Tensor, labels: Tensor, predicted: Tensor, count: int
) -> list[int]:
    """The wrong images with the least probability of the truth, then the right ones with the most.

    Args:
        log_probabilities: ``(N, classes)``.
        labels: ``(N,)`` true classes.
        predicted: ``(N,)`` classes the images count as.
        count: Most of each kind.
    """
    of_truth = log_probabilities.gather(1, labels[:, None])[:, 0]
    right = predicted == labels
    order = of_truth.argsort(stable=True)
    errors = order[~right[order]][:count]
    hits = order[right[order]].flip(0)[:count]
    return [*errors.tolist(), *hits.tolist()]


def _features(
    path: Path, title: str, model: Classifier, test: LabeledSplit, confusion: np.ndarray
) -> Path | None:
    index = spread_over_classes(test.labels, _IMAGES)
    with torch.inference_mode():
        parts = [
            model.features(to_float(images, images.device)).float().cpu()
            for images, _ in test.batches(index, _BATCH)
        ]
    return plots.feature_picture(
        torch.cat(parts).numpy(),
        test.labels.cpu()[index].numpy(),
        test.classes,
        _colored(confusion),
        path,
        f"{title} · penultimate features of {len(index)} test images",
    )


def _colored(confusion: np.ndarray) -> list[int]:
    """All of ten classes; of more, the most confused first."""
    if len(confusion) <= 10:
        return list(range(len(confusion)))
    pairs = plots.most_confused(confusion, len(confusion))
    return list(dict.fromkeys([*(name for pair in pairs for name in pair), *range(10)]))


def _attributions(
    path: Path,
    title: str,
    model: Classifier,
    test: LabeledSplit,
    log_probabilities: Tensor,
    predicted: Tensor,
) -> Path:
    labels = test.labels.to(log_probabilities.device)
    index = worst_and_surest(log_probabilities, labels, predicted, _OF_EACH_KIND)
    images, _ = next(iter(test.batches(torch.tensor(index), len(index))))
    maps = attribution_maps(model, images, labels[index].to(images.device)).cpu().numpy()
    pixels = images.permute(0, 2, 3, 1).cpu().numpy()
    sure = log_probabilities[index].amax(1).exp().cpu()
    names: Sequence[str] = test.classes
    shown = [
        plots.Attributed(
            image=pixels[place],
            map=maps[place],
            true=names[int(labels[where])],
            predicted=names[int(predicted[where])],
            confidence=float(sure[place]),
        )
        for place, where in enumerate(index)
    ]
    return plots.attribution_picture(shown, path, title)
