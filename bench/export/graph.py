"""The network that is exported: from the pixels of an image to a score and a map."""

import torch
from torch import Tensor, nn

from bench.checkpoint.metadata import Preprocessing
from models.components.base import AnomalyModel, Batch

_BITS = 22
"""Binary digits of Pillow's resampling weights; with them the graph's pixels are Pillow's."""


class ExportedModel(nn.Module):
    """Scores images as the checkpoint does: resizes, crops, scales, normalizes, predicts.

    Args:
        model: A trained model, on the CPU.
        preprocessing: How an image becomes the model's input.
        head: Scoring head.
        any_size: Whether images of any size are taken and resized, instead of frames alone.
    """

    def __init__(
        self, model: AnomalyModel, preprocessing: Preprocessing, head: str, any_size: bool
    ) -> None:
        super().__init__()
        self.model, self.preprocessing = model.eval().requires_grad_(False), preprocessing
        self.head, self.any_size = head, any_size

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return scores ``(B,)`` and, for a model that has them, maps ``(B, H, W)``; float32.

        Args:
            images: ``(B, h, w, 3)`` uint8 RGB.
        """
        own = self.preprocessing
        pixels = images.permute(0, 3, 1, 2)
        if self.any_size:
            pixels = resize(pixels, own.height, own.width)
        if own.crop is not None:
            height, width = own.crop
            top, left = (own.height - height) // 2, (own.width - width) // 2
            pixels = pixels[:, :, top : top + height, left : left + width]
        shares = pixels.float() / 255
        features = None if self.model.backbone is None else self.model.backbone(shares)
        prediction = self.model.predict(Batch(shares, features))[self.head]
        scores = prediction.scores.float()
        return (scores,) if prediction.maps is None else (scores, prediction.maps.float())


def resize(pixels: Tensor, height: int, width: int) -> Tensor:
    """Return images ``(B, C, height, width)`` as Pillow's antialiased bilinear filter makes them.

    Pillow sums integers: along rows first, rounded to 8 bits, then along columns. Sums below
    2**53 are exact in float64, so that these pixels are Pillow's and not merely near them. Newer
    versions of Pillow go along columns first where that is faster: some pixels differ by 1 then.

    Args:
        pixels: ``(B, C, h, w)`` uint8.
        height: Number of rows of the result.
        width: Number of columns of the result.
    """
    across, down = _weights(pixels.shape[3], width), _weights(pixels.shape[2], height)
    rows = _rounded(pixels.double() @ across.T)
    return _rounded(down @ rows)


def _rounded(sums: Tensor) -> Tensor:
    pixels: Tensor = ((sums + 2 ** (_BITS - 1)) / 2**_BITS).floor().clamp(0, 255)
    return pixels


def _weights(before: int, after: int) -> Tensor:
    """Return Pillow's weights ``(after, before)`` of a triangle filter, as whole numbers."""
    # Tensors, because sizes are symbolic while a graph is traced.
    scale = torch.scalar_tensor(before, dtype=torch.float64) / after
    centers = (torch.arange(after, dtype=torch.float64) + 0.5) * scale
    places = torch.arange(before, dtype=torch.float64) + 0.5
    distances = (places[None] - centers[:, None]).abs() / scale.clamp(min=1)
    triangle = (1 - distances).clamp(min=0)
    shares = triangle / triangle.sum(1, keepdim=True)
    weights: Tensor = (shares * 2**_BITS + 0.5).floor()
    return weights
