"""Batches as a model takes them: float images and the features of its frozen backbone."""

from typing import Any

import torch
from torch import Tensor

from bench.run.training.precision import to_float
from models.components.base import AnomalyModel, Batch


def make_batch(
    model: AnomalyModel,
    images: Tensor,
    device: torch.device,
    *,
    features: list[Tensor] | None = None,
    **fields: Any,
) -> Batch:
    """Return a batch with the features of the model's backbone, computed unless given.

    Args:
        model: The model, on its device.
        images: ``(B, 3, H, W)``, uint8 or floats in [0, 1].
        device: Where the model is.
        features: ``(B, C, h, w)`` per tapped layer, where they were computed beforehand.
        fields: Other attributes of the `Batch`.
    """
    height, width = images.shape[-2:]
    if features is not None and model.features_only:
        return Batch(None, features, image_size=(height, width), **fields)
    floats = to_float(images, device) if images.dtype == torch.uint8 else images
    if features is None and model.backbone is not None:
        features = model.backbone(floats)
    return Batch(floats, features, image_size=(height, width), **fields)
