"""Plots of a classifier: its confusion matrix, its features and what its logits depend on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bench import plots
from bench.metrics.classes import predicted_classes
from bench.run.device import untuned
from bench.run.labeled_split import LabeledSplit
from bench.run.training.precision import to_float
from models.components.base import Classifier

_SIGMA = 1.0
_WINDOW = 7

_IMAGES = 1_000
"""Maximum number of test images whose features are drawn; t-SNE of 1,000 takes seconds."""

_BATCH = 250
_PER_KIND = 8
"""Number of errors, and of hits, whose attribution maps are drawn."""


def draw_plots(
    folder: Path, title: str, model: Classifier, test: LabeledSplit, logits: Tensor
) -> dict[str, Path]:
    """Draw the confusion matrix, the features and the attribution maps of a test set.

    Args:
        folder: Folder of the plots.
        title: Title of each plot.
        model: The trained network.
        test: The test set.
        logits: ``(N, classes)`` logits of the test set.

    Returns:
        Paths by artifact name; ``features`` is missing where features have no spread.

    Raises:
        OSError: A plot could not be written.
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
        "confusion": plots.plot_confusion(confusion, test.classes, folder / "confusion.png", title),
        "features": _features(folder / "features.png", title, model, test, confusion),
        "attributions": _attributions(
            folder / "attributions.jpg", title, model, test, logits.log_softmax(1), predicted
        ),
    }
    model.train(was_training)
    return {name: path for name, path in written.items() if path is not None}


def spread_over_classes(labels: Tensor, count: int) -> Tensor:
    """Return ``(min(N, count),)`` rows, each class in proportion; deterministic."""
    by_class = labels.cpu().argsort(stable=True)
    take = torch.linspace(0, len(by_class) - 1, min(count, len(by_class))).round().long()
    return by_class[take].sort().values


def worst_and_surest(
    log_probabilities: Tensor, labels: Tensor, predicted: Tensor, count: int
) -> list[int]:
    """Return the errors with the least probability of the truth, then the most confident hits.

    Args:
        log_probabilities: ``(N, classes)``.
        labels: ``(N,)`` true classes.
        predicted: ``(N,)`` predicted classes.
        count: Maximum number of errors, and of hits.
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
    with torch.inference_mode(), untuned():
        parts = [
            model.features(to_float(images, images.device)).float().cpu()
            for images, _ in test.batches(index, _BATCH)
        ]
    return plots.plot_features(
        torch.cat(parts).numpy(),
        test.labels.cpu()[index].numpy(),
        test.classes,
        _colored(confusion),
        path,
        f"{title} · penultimate features of {len(index)} test images",
    )


def _colored(confusion: np.ndarray) -> list[int]:
    """Return the classes in the order of coloring; if more than ten, the most confused first."""
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
    index = worst_and_surest(log_probabilities, labels, predicted, _PER_KIND)
    images, _ = next(iter(test.batches(torch.tensor(index), len(index))))
    maps = attribution_maps(model, images, labels[index].to(images.device)).cpu().numpy()
    pixels = images.permute(0, 2, 3, 1).cpu().numpy()
    sure = log_probabilities[index].amax(1).exp().cpu()
    names: Sequence[str] = test.classes
    shown = [
        plots.AttributedImage(
            image=pixels[place],
            map=maps[place],
            true=names[int(labels[where])],
            predicted=names[int(predicted[where])],
            confidence=float(sure[place]),
        )
        for place, where in enumerate(index)
    ]
    return plots.plot_attributions(shown, path, title)


def attribution_maps(model: Classifier, images: Tensor, classes: Tensor) -> Tensor:
    """Return input-gradient attribution maps (Simonyan et al. 2014).

    A map is |∂ logit / ∂ pixel|, the maximum over colors, smoothed by a Gaussian of one pixel.

    Args:
        model: The network in evaluation mode, where images do not affect each other.
        images: ``(B, 3, H, W)`` uint8, on the model's device.
        classes: ``(B,)`` class whose logit is differentiated, per image.

    Returns:
        ``(B, H, W)`` float32, nonnegative. Parameters get no gradient.
    """
    from torchvision.transforms.v2.functional import gaussian_blur  # takes seconds to import

    inputs = to_float(images, images.device).requires_grad_()
    with torch.enable_grad(), untuned():
        chosen = model.predict(inputs).gather(1, classes[:, None]).sum()
        (gradient,) = torch.autograd.grad(chosen, inputs)
    largest = gradient.abs().amax(1, keepdim=True).float()
    smooth: Tensor = gaussian_blur(largest, [_WINDOW, _WINDOW], [_SIGMA, _SIGMA])
    return smooth[:, 0]
