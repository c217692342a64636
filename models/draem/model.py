"""DRAEM (Zavrtanik et al., ICCV 2021), optionally with SSPCAB (Ristea et al., CVPR 2022).

A first network removes synthetic defects from normal images; a second one segments the defects from
the image and its repair. Nothing is pretrained, and images are not normalized.
"""

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.components.base import AnomalyModel, Batch, ModelContractError, Prediction
from models.components.perlin import turn_some
from models.components.segmentation import (
    defect_probability,
    focal_loss,
    score_by_mean_of_window,
)
from models.components.size_check import check_multiple
from models.components.ssim import structural_similarity
from models.components.unet import UNet, double_conv, up_conv
from models.draem.defects import synthesize
from models.draem.sspcab import SSPCAB

SSPCAB_WEIGHT = 0.1
"""Weight of SSPCAB's own loss (Ristea et al., section 4.2)."""

TURNED = 0.3
"""Probability that a training image is rotated, by up to 90 degrees (section 4.1)."""

_INIT_STD = 0.02
_RECONSTRUCTION = (1, 2, 4, 8, 8)
"""Channels of the reconstruction network's scales, in units of the first."""
_SEGMENTATION_DOWN, _SEGMENTATION_UP = (1, 2, 4, 8, 8, 8), (8, 4, 2, 1, 1)

STRIDE = 2 ** (len(_SEGMENTATION_DOWN) - 1)
"""Sides of images are multiples of this."""

_MIN_SIZE = 2 * STRIDE  # below, BatchNorm gets one value per channel from a batch of one image


class ReconstructionNetwork(nn.Module):
    """Encoder and decoder that repair an image, without skip connections.

    Args:
        width: Channels of the first scale.
        sspcab: Whether an SSPCAB takes the place of the last block of the encoder.
    """

    def __init__(self, width: int, *, sspcab: bool) -> None:
        super().__init__()
        norm = nn.BatchNorm2d
        widths = [width * unit for unit in _RECONSTRUCTION]
        blocks: list[nn.Module] = [
            double_conv(before, after, after, norm) for before, after in pairwise((3, *widths))
        ]
        if sspcab:
            blocks[-1] = SSPCAB(widths[-1])
        self.encoder = nn.ModuleList(blocks)
        steps = [*pairwise(reversed(widths[:-1])), (width, width)]
        self.decoder = nn.Sequential(
            *(
                nn.Sequential(
                    up_conv(before, before, norm), double_conv(before, before, after, norm)
                )
                for before, after in steps
            ),
            nn.Conv2d(width, 3, 3, padding=1),
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the repair ``(B, 3, H, W)``, and the input and output of the encoder's last block.

        Args:
            images: ``(B, 3, H, W)``, sides a multiple of 16.
        """
        x = images
        for number, block in enumerate(self.encoder):
            before = x if number == 0 else F.max_pool2d(x, 2)
            x = block(before)
        return self.decoder(x), before, x


class DRAEM(AnomalyModel):
    """Reconstruction network and segmentation network, trained together.

    The segmentation network reads the repair and the image, in this order.

    Args:
        width: Channels of the reconstruction network's first scale; the segmentation network has
            half as many.
        sspcab: Whether the reconstruction network has an SSPCAB.
    """

    def __init__(self, *, width: int, sspcab: bool) -> None:
        super().__init__()
        self._sspcab = sspcab
        self.reconstruction = ReconstructionNetwork(width, sspcab=sspcab)
        down, up = (
            [width // 2 * unit for unit in units]
            for units in (_SEGMENTATION_DOWN, _SEGMENTATION_UP)
        )
        self.segmentation = UNet(6, 2, down, up, nn.BatchNorm2d)
        self.apply(_initialize)

    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar training loss of normal images.

        The sum of squared error, 1 − structural similarity and focal loss, and a tenth of
        SSPCAB's own loss where there is one.

        Raises:
            ImageSizeError: The sides of the images are not multiples of 32, at least 64.
            ModelContractError: The batch has no textures.
        """
        _check_size(batch.get_images())
        if batch.auxiliary is None:
            raise ModelContractError(
                "DRAEM blends textures into its training images: wanted `auxiliary` images in the "
                "batch, found none. List a texture set in the entry's `auxiliary`."
            )
        with torch.autocast(batch.auxiliary.device.type, enabled=False):
            draws = batch.get_draws()
            images = turn_some(batch.get_images().float(), draws, TURNED)
            defective, masks = synthesize(images, batch.auxiliary.float(), draws)
        repaired, before, after = self.reconstruction(_channels_last(defective))
        logits = self.segmentation(torch.cat((repaired, defective), dim=1))
        repaired = repaired.float()
        loss = F.mse_loss(repaired, images)
        loss = loss + (1 - structural_similarity(repaired, images, padded=True)).mean()
        loss = loss + focal_loss(logits, masks)
        if self._sspcab:
            loss = loss + SSPCAB_WEIGHT * F.mse_loss(after.float(), before.float())
        return loss

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return probabilities of a defect, scored by their largest mean over 21 × 21 pixels.

        Raises:
            ImageSizeError: The sides of the images are not multiples of 32, at least 64.
        """
        images = batch.get_images().float()
        _check_size(images)
        repaired, _, _ = self.reconstruction(_channels_last(images))
        logits = self.segmentation(torch.cat((repaired, images), dim=1))
        return {"score": score_by_mean_of_window(defect_probability(logits))}


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    width: int = 128,
    sspcab: bool = True,
) -> DRAEM:
    """Build a DRAEM; see `models.components.base.Build`.

    Args:
        weights: None, since the model has no pretrained part.
        state: None.
        width: Channels of the reconstruction network's first scale, 128 in the paper.
        sspcab: Whether the reconstruction network has an SSPCAB.

    Raises:
        ValueError: Weights are given.
    """
    if weights is not None or state is not None:
        raise ValueError(
            f"DRAEM has no pretrained part: wanted no weights, found '{weights}'. Leave them out."
        )
    return DRAEM(width=width, sspcab=sspcab).to(memory_format=torch.channels_last)


def _initialize(module: nn.Module) -> None:
    """Draw weights as in the official code: N(0, 0.02), for normalizations N(1, 0.02)."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, _INIT_STD)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, _INIT_STD)


def _check_size(images: Tensor) -> None:
    height, width = images.shape[-2:]
    check_multiple("DRAEM halves an image five times", height, width, STRIDE, _MIN_SIZE)


def _channels_last(images: Tensor) -> Tensor:
    return images.contiguous(memory_format=torch.channels_last)
