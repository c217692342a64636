"""What the training loop minimises: the loss of some images, by their indices."""

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from bench.protocol import Protocol as CaseProtocol
from bench.run.frozen import FrozenFeatures, frozen_features
from bench.run.job import Report
from bench.run.precision import autocast, to_float
from datasets_lib.augment.augmentation import Identity
from datasets_lib.augment.catalog import build
from datasets_lib.augment.draws import Draws
from datasets_lib.augment.rows import select
from models.interface import FrozenFeatureModel, GradientAnomalyModel


class Objective(Protocol):
    """The loss of a training set.

    Attributes:
        count: Images in the set.
    """

    count: int

    def batches(self, order: Tensor, batch: int) -> Iterator[Any]:
        """What the loss of each batch needs, in the order of the images; may read ahead."""

    def prepare(self, images_to_see: int, report: Report) -> bool:
        """Do beforehand what pays over that many images; whether a frozen part was computed."""

    def loss(self, batch: Any, step: int) -> Tensor:
        """Scalar loss of one of the batches, in the training precision."""

    def consider(self, step_seconds: float, steps_left: int) -> None:
        """Told once, after the first pass, what steps cost; may compute otherwise from then on."""


def numbered(index: Tensor, step: int, count: int) -> Tensor:
    """The images of a step, numbered over passes: image i of pass p is ``p · count + i``.

    A step's batch may hold the end of one pass and the beginning of the next.
    """
    begin = step * len(index)
    place = torch.arange(begin, begin + len(index), device=index.device)
    return place // count * count + index


class AnomalyObjective:
    """An anomaly model's own loss of normal images.

    Args:
        model: On its device.
        images: ``(N, 3, S, S)`` uint8, on the device or on the host.
        protocol: Precision and augmentation.
        device: Where the model is.
        seed: Of what the augmentation draws.
    """

    def __init__(
        self,
        model: GradientAnomalyModel,
        images: Tensor,
        protocol: CaseProtocol,
        device: torch.device,
        seed: int,
    ) -> None:
        self.count = len(images)
        self._model, self._images = model, images
        self._protocol, self._device = protocol, device
        self._seed = seed
        self._augment = build("anomaly", protocol.augmentation)
        self._frozen: FrozenFeatures | None = None

    def prepare(self, images_to_see: int, report: Report) -> bool:
        """Compute a frozen part's features once, where they fit and are wanted twice."""
        if isinstance(self._augment, Identity) and images_to_see > self.count:
            with autocast(self._device, self._protocol):
                self._frozen = frozen_features(
                    self._model, self._images, lambda chunk: to_float(chunk, self._device), report
                )
        return self._frozen is not None

    def batches(self, order: Tensor, batch: int) -> Iterator[Tensor]:
        """Indices on the device of what they choose from."""
        source = self._frozen.parts[0] if self._frozen is not None else self._images
        return iter(torch.split(order.to(source.device), batch))

    def loss(self, index: Tensor, step: int) -> Tensor:
        """The model's loss; of kept features where there are some."""
        with autocast(self._device, self._protocol):
            if self._frozen is not None:
                assert isinstance(self._model, FrozenFeatureModel)
                return self._model.loss_of_features(self._frozen.batch(index))
            return self._model.loss(self._augmented(index, step))

    def consider(self, step_seconds: float, steps_left: int) -> None:
        """Nothing to decide."""

    def _augmented(self, index: Tensor, step: int) -> Tensor:
        images = select(self._images, index)
        if images.device != self._device:
            images = images.pin_memory().to(self._device, non_blocking=True)
        draws = Draws(numbered(index.to(self._device), step, self.count), self._seed, step=step)
        images, _ = self._augment(images, None, draws)
        return to_float(images, self._device) if images.dtype == torch.uint8 else images
