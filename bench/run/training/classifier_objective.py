"""The loss of a classifier on augmented images, drawn on the device and never on the host."""

import logging
from collections.abc import Iterator
from itertools import chain, islice

import torch
from torch import Tensor

from bench.protocol import Protocol
from bench.run.labeled_split import LabeledSplit
from bench.run.training.compilation import Choice, LossGradient
from bench.run.training.cuda_graphs import prefetch
from bench.run.training.objective import numbered
from bench.run.training.precision import autocast, to_float
from datasets_lib.augment.augmentation import Augmentation, Sequence
from datasets_lib.augment.catalog import build
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.rows import select
from datasets_lib.batches.streaming import ResidentBatches
from models.catalog import ClassifierRecipe
from models.components.base import Classifier

Batch = tuple[Tensor, Tensor]
"""Float images ``(B, 3, S, S)`` in [0, 1], channels last, and their labels or a mixture of them."""

_log = logging.getLogger(__name__)


class ClassifierObjective:
    """Cross-entropy to the labels of augmented images, or to their mixture.

    The protocol's base transform comes first and the case's augmentation on top of it. What is
    drawn depends on seed, pass and image alone, so that a resumed training draws the same; what
    pairs of images share depends on the step.

    Args:
        model: On its device.
        train: Its images and labels.
        protocol: Recipe, precision and augmentation.
        seed: Of the draws.
        device: Where the model is.
        compiling: Whether the loss is compiled; ``no`` records no CUDA graphs either.

    Attributes:
        count: Images in the set.
        network: The loss, and how it is computed.
    """

    def __init__(
        self,
        model: Classifier,
        train: LabeledSplit,
        protocol: Protocol,
        *,
        seed: int,
        device: torch.device,
        compiling: Choice = "no",
    ) -> None:
        self.count = len(train)
        self.network = LossGradient(model, device, compiling, lambda: autocast(device, protocol))
        self._device, self._seed, self._train = device, seed, train
        self._augment = augmentation(protocol, len(train.classes))
        self._records = device.type == "cuda" and compiling != "no"

    def batches(self, order: Tensor, batch: int, first: int) -> Iterator[Batch]:
        """Augmented images on the device, read ahead where they lie in a file."""
        source = self._train.batches
        if self._records and isinstance(source, ResidentBatches):
            images = source.images

            def prepare(index: Tensor, step: Tensor) -> Batch:
                return self._augmented(select(images, index), index, step)

            ahead = prefetch(prepare, order.to(self._device), batch, first)
            try:
                begun = list(islice(ahead, 1))
            except RuntimeError as error:  # nothing was given out yet
                _log.warning("augmentation goes on without recording: %s", error)
            else:
                yield from chain(begun, ahead)
                return
        for step, (images, index) in enumerate(source(order, batch), start=first):
            yield self._augmented(images, index, step)

    def gradient(self, batch: Batch, step: int) -> Tensor:
        """Of the loss of a step's images."""
        return self.network(*batch)

    def maybe_compile(self, step_seconds: float, steps_left: int) -> None:
        """Compile the loss from here on, if that was left open and pays."""
        self.network.maybe_compile(step_seconds, steps_left)

    def _augmented(self, images: Tensor, index: Tensor, step: int | Tensor) -> Batch:
        streams = RandomStreams(numbered(index, step, self.count), self._seed, step=step)
        images, targets = self._augment(images, self._train.labels[index], streams)
        assert targets is not None
        if images.dtype == torch.uint8:
            images = to_float(images, self._device)
        return images, targets


def augmentation(protocol: Protocol, classes: int) -> Augmentation:
    """The base transform of the recipe, then the case's own augmentation."""
    recipe = protocol.recipe
    assert isinstance(recipe, ClassifierRecipe)
    base = build("classification", recipe.base_transform)
    if protocol.augmentation == "default":
        return base
    mixing = build("classification", protocol.augmentation, classes=classes, alpha=recipe.alpha)
    return Sequence((base, mixing))
