"""The network that is exported: from the pixels of image files to a score and a map."""

import torch
from torch import Tensor, nn

from bench.checkpoint.metadata import Preprocessing
from models.components.base import AnomalyModel, Batch

_BITS = 22
"""Binary digits of Pillow's resampling weights; with them the graph's pixels are Pillow's."""


class ExportedModel(nn.Module):
    """Scores raw images as the checkpoint does: resizes, crops, normalizes, predicts.

    Args:
        model: A trained model, on the CPU.
        preprocessing: What becomes of an image.
        head: Scoring head.
        resizes: Whether images of any size are taken, instead of frames alone.
    """

    def __init__(
        self, model: AnomalyModel, preprocessing: Preprocessing, head: str, resizes: bool
    ) -> None:
        super().__init__()
        self.model, self.preprocessing = model.eval(), preprocessing
        self.head, self.resizes = head, resizes

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor] | tuple[Tensor]:
        """Return scores ``(B,)`` and, of models that have them, maps ``(B, H, W)``; float32.

        Args:
            images: ``(B, h, w, 3)`` uint8 RGB.
        """
        own = self.preprocessing
        pixels = images.permute(0, 3, 1, 2)
        if self.resizes:
            pixels = resize(pixels, own.height, own.width)
        if own.crop is not None:
            (height, width) = own.crop
            top, left = (own.height - height) // 2, (own.width - width) // 2
            pixels = pixels[:, :, top : top + height, left : left + width]
        scaled = pixels.float() / 255
        features = None if self.model.backbone is None else self.model.backbone(scaled)
        prediction = self.model.predict(Batch(scaled, features))[self.head]
        if prediction.maps is None:
            return (prediction.scores.float(),)
        return prediction.scores.float(), prediction.maps.float()


def resize(pixels: Tensor, height: int, width: int) -> Tensor:
    """Return images ``(B, C, height, width)`` resized as Pillow's antialiased bilinear filter does.

    Pillow adds integers: rows first, rounded to 8 bits, then columns. Sums of integers below 2**53
    are exact in float64, so that these pixels are Pillow's and not merely near them.

    Args:
        pixels: ``(B, C, h, w)`` uint8.
        height: Rows of the result.
        width: Columns of the result.
    """
    across = _weights(pixels.shape[3], width)
    down = _weights(pixels.shape[2], height)
    rows = _rounded(pixels.double() @ across.T)
    return _rounded(down @ rows)


def _rounded(sums: Tensor) -> Tensor:
    return ((sums + 2 ** (_BITS - 1)) / 2**_BITS).floor().clamp(0, 255)


def _weights(before: int, after: int) -> Tensor:
    """Return Pillow's weights ``(after, before)`` of a triangle filter, as whole numbers."""
    scale = before / after
    # torch.sym_max, for the size of exported images is a symbol.
    reach = torch.sym_max(scale, 1.0)
    centers = (torch.arange(after, dtype=torch.float64) + 0.5) * scale
    places = torch.arange(before, dtype=torch.float64) + 0.5
    triangle = (1 - ((places[None] - centers[:, None]) / reach).abs()).clamp(min=0)
    shares = triangle / triangle.sum(1, keepdim=True)
    return (shares * 2**_BITS + 0.5).floor()
