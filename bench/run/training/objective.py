"""What the training loop minimizes: the loss of some images, by their indices."""

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from bench.protocol import Protocol as CaseProtocol
from bench.run.features.store import Features
from bench.run.training.precision import autocast, to_float
from datasets_lib.augment.augmentation import Identity
from datasets_lib.augment.catalog import build
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.rows import select
from datasets_lib.batches.textures import TextureSource
from models.components.base import AuxiliaryModel, GradientAnomalyModel, StudentModel


class Objective(Protocol):
    """The loss of a training set.

    Attributes:
        count: Images in the set.
    """

    count: int

    def batches(self, order: Tensor, batch: int, first: int) -> Iterator[Any]:
        """What the loss of each batch needs, in the order of the images; may read ahead.

        Args:
            order: int64 indices of images.
            batch: Images a batch.
            first: Number of the first step, which is not 0 where a training is taken up.
        """

    def gradient(self, batch: Any, step: int) -> Tensor:
        """Detached scalar loss of one of the batches, in the training precision.

        Its gradient is left in the parameters' ``grad``, which must be None before.
        """

    def maybe_compile(self, step_seconds: float, steps_left: int) -> None:
        """Told once, after the first pass, what steps cost; may compute otherwise from then on."""


def numbered(index: Tensor, step: int | Tensor, count: int) -> Tensor:
    """The images of a step, numbered over passes: image i of pass p is ``p · count + i``.

    A step's batch may hold the end of one pass and the beginning of the next.
    """
    place = torch.arange(len(index), device=index.device) + step * len(index)
    return place // count * count + index


class AnomalyObjective:
    """An anomaly model's own loss of normal images.

    Args:
        model: On its device.
        images: ``(N, 3, S, S)`` uint8, on the device or on the host.
        protocol: Precision and augmentation.
        device: Where the model is.
        seed: Of what the augmentation draws.
        features: Of the images as they are, where a frozen part's were computed beforehand.
        textures: Other pictures, for a model whose loss looks at some.
    """

    def __init__(
        self,
        model: GradientAnomalyModel,
        images: Tensor,
        protocol: CaseProtocol,
        device: torch.device,
        seed: int,
        features: Features | None = None,
        textures: TextureSource | None = None,
    ) -> None:
        self.count = len(images)
        self._model, self._images = model, images
        self._protocol, self._device = protocol, device
        self._seed = seed
        self._augment = build("anomaly", protocol.augmentation)
        self._features, self._textures = features, textures

    def batches(self, order: Tensor, batch: int, first: int) -> Iterator[Tensor]:
        """Indices on the device of what they choose from."""
        source = self._images if self._features is None else self._features.parts[0]
        return iter(torch.split(order.to(source.device), batch))

    def gradient(self, index: Tensor, step: int) -> Tensor:
        """Of the model's loss; of kept features where there are some."""
        loss = self._loss(index, step)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _loss(self, index: Tensor, step: int) -> Tensor:
        with autocast(self._device, self._protocol):
            if self._features is None:
                return self._loss_of_images(index, step)
            features = self._features.batch(index)
            if isinstance(self._model, StudentModel):
                return self._model.loss_beside_features(self._augmented(index, step), features)
            loss: Tensor = self._model.loss_of_features(features)  # type: ignore[attr-defined]
            return loss

    def maybe_compile(self, step_seconds: float, steps_left: int) -> None:
        """Nothing to decide."""

    def _loss_of_images(self, index: Tensor, step: int) -> Tensor:
        images = self._augmented(index, step)
        if self._textures is None or not isinstance(self._model, AuxiliaryModel):
            return self._model.loss(images)
        place = torch.arange(len(index), device=self._textures.images.device)
        streams = RandomStreams(place + step * len(index), self._seed).fold_in("auxiliary")
        plots = to_float(self._textures.sample(streams), self._device)
        return self._model.loss_beside(images, plots)

    def _augmented(self, index: Tensor, step: int) -> Tensor:
        images = select(self._images, index.to(self._images.device))
        if images.device != self._device:
            images = images.pin_memory().to(self._device, non_blocking=True)
        if isinstance(self._augment, Identity):
            return to_float(images, self._device)
        streams = RandomStreams(
            numbered(index.to(self._device), step, self.count), self._seed, step=step
        )
        images, _ = self._augment(images, None, streams)
        return to_float(images, self._device) if images.dtype == torch.uint8 else images
