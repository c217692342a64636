"""The loss of a classifier on augmented images, drawn on the device and never on the host."""

from collections.abc import Iterator

import torch
from torch import Tensor

from bench.protocol import Protocol
from bench.run.compiling import Choice, CompilableLoss
from bench.run.labelled_split import LabelledSplit
from bench.run.objective import numbered
from bench.run.precision import autocast, to_float
from datasets_lib.augment.augmentation import Augmentation, Sequence
from datasets_lib.augment.catalog import build
from datasets_lib.augment.draws import Draws
from datasets_lib.streaming import Batch
from models.catalog import ClassifierRecipe
from models.interface import Classifier


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
        compiling: Whether the loss is compiled.

    Attributes:
        count: Images in the set.
        network: The loss, and how it is computed.
    """

    def __init__(
        self,
        model: Classifier,
        train: LabelledSplit,
        protocol: Protocol,
        *,
        seed: int,
        device: torch.device,
        compiling: Choice = "no",
    ) -> None:
        self.count = len(train)
        self.network = CompilableLoss(model.loss, device, compiling)
        self._protocol, self._device, self._seed = protocol, device, seed
        self._train = train
        self._augment = augmentation(protocol, len(train.classes))

    def batches(self, order: Tensor, batch: int) -> Iterator[Batch]:
        """Images on the device, read ahead where they lie in a file, with their indices."""
        return self._train.batches(order, batch)

    def loss(self, batch: Batch, step: int) -> Tensor:
        """Scalar loss of a step's images and indices."""
        images, index = batch
        draws = Draws(numbered(index, step, self.count), self._seed, step=step)
        images, targets = self._augment(images, self._train.labels[index], draws)
        assert targets is not None
        if images.dtype == torch.uint8:
            images = to_float(images, self._device)
        with autocast(self._device, self._protocol):
            return self.network(images, targets)

    def consider(self, step_seconds: float, steps_left: int) -> None:
        """Compile the loss from here on, if that was left open and pays."""
        self.network.consider(step_seconds, steps_left)


def augmentation(protocol: Protocol, classes: int) -> Augmentation:
    """The base transform of the recipe, then the case's own augmentation."""
    recipe = protocol.recipe
    assert isinstance(recipe, ClassifierRecipe)
    base = build("classification", recipe.base_transform)
    if protocol.augmentation == "default":
        return base
    mixing = build("classification", protocol.augmentation, classes=classes, alpha=recipe.alpha)
    return Sequence((base, mixing))
