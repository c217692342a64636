"""What the training loop minimizes: the loss of some images, by their indices."""

from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from bench.protocol import Protocol as CaseProtocol
from bench.run.batch import make_batch
from bench.run.contract import check_loss
from bench.run.features.store import Features
from bench.run.training.extras import Extras
from bench.run.training.precision import autocast, to_device, to_float
from datasets_lib.augment.augmentation import Identity, check_augmented
from datasets_lib.augment.catalog import build
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.rows import select
from models.components.base import AnomalyModel, Batch


class Objective(Protocol):
    """The loss over a training set.

    Attributes:
        count: Images in the set.
    """

    count: int

    def batches(self, order: Tensor, batch: int, first: int) -> Iterator[Any]:
        """Yield what the loss of each batch needs, in the order of the images; may read ahead.

        Args:
            order: int64 indices of images.
            batch: Images per batch.
            first: Number of the first step, which is not 0 when a training is resumed.
        """

    def gradient(self, batch: Any, step: int) -> Tensor:
        """Return the detached scalar loss of a batch, in the training precision.

        Its gradient is left in the parameters' ``grad``, which must be None before.
        """

    def maybe_compile(self, step_seconds: float, steps_left: int) -> None:
        """Switch to compiled steps if that saves time; called once, after the first pass."""


def numbered(index: Tensor, step: int | Tensor, count: int) -> Tensor:
    """Number a step's images over passes: image i of pass p is ``p · count + i``.

    A step's batch may hold the end of one pass and the beginning of the next.
    """
    place = torch.arange(len(index), device=index.device) + step * len(index)
    return place // count * count + index


class AnomalyObjective:
    """An anomaly model's own loss of its training images.

    Args:
        model: The model, on its device.
        images: ``(N, 3, S, S)`` uint8, on the device or on the host.
        protocol: Precision and augmentation.
        device: Where the model is.
        seed: Seed of the augmentation.
        features: A frozen backbone's features of the unaugmented images, if computed beforehand.
        extras: What batches hold along with images and features.
    """

    def __init__(
        self,
        model: AnomalyModel,
        images: Tensor,
        protocol: CaseProtocol,
        device: torch.device,
        seed: int,
        features: Features | None = None,
        extras: Extras | None = None,
    ) -> None:
        self.count, self._steps = len(images), 1
        self._model, self._images = model, images
        self._protocol, self._device = protocol, device
        self._seed = seed
        self._augment = build("anomaly", protocol.augmentation)
        self._features, self._extras = features, extras or Extras(seed)
        self._checked = False

    def batches(self, order: Tensor, batch: int, first: int) -> Iterator[Tensor]:
        """Return row indices, batch by batch, on the device of what they index."""
        self._steps = first + len(order) // batch
        source = self._images if self._features is None else self._features.parts[0]
        return iter(torch.split(order.to(source.device), batch))

    def gradient(self, index: Tensor, step: int) -> Tensor:
        """Compute the gradient of the model's loss."""
        with autocast(self._device, self._protocol):
            loss = self._model.loss(self._batch(index, step))
        check_loss(self._model, loss)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def maybe_compile(self, step_seconds: float, steps_left: int) -> None:
        """Do nothing: anomaly models are not compiled."""

    def _batch(self, index: Tensor, step: int) -> Batch:
        features = None if self._features is None else self._features.batch(index)
        # Labels and masks come with images, even for a model that reads features alone.
        labeled = self._extras.labeled is not None
        rows = numbered(index.to(self._device), step, self.count)
        draws = RandomStreams(rows, self._seed).fold_in("model")
        if features is not None and self._model.features_only and not labeled:
            size = self._images.shape[-2], self._images.shape[-1]
            return Batch(None, features, image_size=size, draws=draws, step=step, steps=self._steps)
        images, masks = self._augmented(index, step)
        return make_batch(
            self._model,
            images,
            self._device,
            features=features,
            masks=masks,
            draws=draws,
            step=step,
            steps=self._steps,
            **self._extras.fields(images, index, step),
        )

    def _augmented(self, index: Tensor, step: int) -> tuple[Tensor, Tensor | None]:
        """Return images as floats and, for a supervised model, their masks."""
        images = to_device(select(self._images, index.to(self._images.device)), self._device)
        masks = self._extras.masks(index)
        if masks is not None:
            masks = masks.to(self._device, non_blocking=True)
        if isinstance(self._augment, Identity):
            return to_float(images, self._device), masks
        rows = numbered(index.to(self._device), step, self.count)
        streams = RandomStreams(rows, self._seed, step=step)
        result = self._augment(images, masks, streams)
        if not self._checked:  # once: looking at every batch would cost time
            self._checked = check_augmented(result, images) is not None
        images, masks = result
        floats = to_float(images, self._device) if images.dtype == torch.uint8 else images
        return floats, masks
