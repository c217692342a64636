"""The loss of a classifier on images that are augmented on the device."""

import logging
from collections.abc import Iterator
from itertools import chain, islice

import torch
from torch import Tensor

from bench.protocol import Protocol
from bench.run.labeled_split import LabeledSplit
from bench.run.out_of_memory import is_out_of_memory
from bench.run.training.compilation import Choice, LossGradient
from bench.run.training.cuda_graphs import prefetch
from bench.run.training.objective import numbered
from bench.run.training.precision import autocast, to_float
from datasets_lib.augment.augmentation import Augmentation, Sequence
from datasets_lib.augment.catalog import build
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.rows import select
from datasets_lib.augment.torchvision_transform import waits_for_device
from datasets_lib.batches.streaming import ResidentBatches
from models.catalog import ClassifierRecipe
from models.components.base import Classifier

Batch = tuple[Tensor, Tensor]
"""Float images ``(B, 3, S, S)`` in [0, 1], channels last, and their labels or a mixture of them."""

_log = logging.getLogger(__name__)


class ClassifierObjective:
    """Cross-entropy with the labels of augmented images, or with a mixture of labels.

    The recipe's base transform comes first, then the case's augmentation. Random numbers depend on
    seed, pass and image alone, so that a resumed training draws the same ones; those shared by
    pairs of images depend on the step.

    Args:
        model: The network, on its device.
        train: Images and labels.
        protocol: Recipe, precision and augmentation.
        seed: Seed of the augmentation.
        device: Where the model is.
        compiling: Whether the loss is compiled; ``no`` also disables CUDA graphs.

    Attributes:
        count: Number of images in the set.
        network: Computes the loss and its gradient.
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
        replays = device.type == "cuda" and compiling != "no"
        self._records = replays and not waits_for_device(self._augment)

    def batches(self, order: Tensor, batch: int, first: int) -> Iterator[Batch]:
        """Yield augmented images on the device; images in a file are read ahead."""
        source = self._train.batches
        if self._records and isinstance(source, ResidentBatches):
            images = source.images

            def prepare(index: Tensor, step: Tensor) -> Batch:
                return self._augmented(select(images, index), index, step)

            ahead = prefetch(prepare, order.to(self._device), batch, first)
            try:
                first_batch = list(islice(ahead, 1))
            except RuntimeError as error:  # no batch was yielded yet
                if is_out_of_memory(error):
                    raise
                _log.warning("augmentation continues without recording: %s", error)
            else:
                yield from chain(first_batch, ahead)
                return
        for step, (images, index) in enumerate(source(order, batch), start=first):
            yield self._augmented(images, index, step)

    def gradient(self, batch: Batch, step: int) -> Tensor:
        """Compute the gradient of the loss of a batch."""
        return self.network(*batch)

    def maybe_compile(self, step_seconds: float, steps_left: int) -> None:
        """Compile the loss from here on, if that pays."""
        self.network.maybe_compile(step_seconds, steps_left)

    def _augmented(self, images: Tensor, index: Tensor, step: int | Tensor) -> Batch:
        streams = RandomStreams(numbered(index, step, self.count), self._seed, step=step)
        images, targets = self._augment(images, self._train.labels[index], streams)
        assert targets is not None
        if images.dtype == torch.uint8:
            images = to_float(images, self._device)
        return images, targets


def augmentation(protocol: Protocol, classes: int) -> Augmentation:
    """Return the recipe's base transform, followed by the case's own augmentation."""
    recipe = protocol.recipe
    assert isinstance(recipe, ClassifierRecipe)
    base = build("classification", recipe.base_transform)
    if protocol.augmentation == "default":
        return base
    mixing = build("classification", protocol.augmentation, classes=classes, alpha=recipe.alpha)
    return Sequence((base, mixing))
