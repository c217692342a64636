"""DSR (Zavrtanik, Kristan and Skočaj, ECCV 2022): dual subspace re-projection.

A frozen VQ-VAE decodes an image with its defects; networks that were trained on normal images
decode it without them, and a third network segments where the two pictures differ. The last third
of the training is for a fourth network, which refines the segmentation to the image's details.

The official code runs 100 and then 50 passes with an optimizer each; here both are phases of one
training, and a network that a phase does not train has no gradient.
"""

from collections.abc import Mapping
from fractions import Fraction

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.nn import functional as F

from models.catalog import WEIGHTS
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.draws import Draws
from models.components.perlin import turn_some
from models.components.segmentation import (
    defect_probability,
    focal_loss,
    score_by_mean_of_window,
)
from models.components.size_check import check_multiple
from models.dsr.defects import defective_codes, smudged
from models.dsr.networks import (
    SubspaceRestriction,
    initialize,
    object_decoder,
    segmentation_network,
)
from models.dsr.vqvae import CODES, VQVAE, WIDTH, frozen_vqvae

IMAGE_WEIGHT = 10.0
"""Weight of the squared error of the object's decoder in the loss."""

UPSAMPLER_RATE = 10.0
"""Factor on the upsampler's learning rate.

The recipe's schedule divides all rates by ten within the first phase; the official upsampler starts
at the full rate, and is not trained before.
"""

TURNED_DETECTION, TURNED_UPSAMPLER = 0.4, 0.3
"""Probabilities that a training image is rotated, by phase."""

_MULTIPLE = 32
_MIN_SIZE = 64  # smaller images reach one position, which cannot be normalized


class DSR(AnomalyModel):
    """Frozen VQ-VAE, subspace restriction, decoder of the object, segmentation and upsampling.

    Args:
        vqvae: Frozen VQ-VAE.
        width: Dimension of its codes.
    """

    frozen_parts = ("vqvae",)
    last_phase = Fraction(2, 3)

    def __init__(self, vqvae: VQVAE, width: int) -> None:
        super().__init__()
        self.vqvae = vqvae
        self.restriction_lo = SubspaceRestriction(width)
        self.restriction_hi = SubspaceRestriction(width)
        self.object_decoder = object_decoder(width).apply(initialize)
        # Both read the object's and the general picture, the upsampler the segmentation as well.
        self.segmentation = segmentation_network(2 * 3, width).apply(initialize)
        self.upsampler = segmentation_network(2 * 3 + 2, width)

    def parameter_groups(self) -> list[tuple[float, list[Parameter]]]:
        """Return the detection networks' parameters and, at a higher rate, the upsampler's."""
        upsampler = list(self.upsampler.parameters())
        later = set(upsampler)
        detection = [p for p in self.trainable_parameters() if p not in later]
        return [(1.0, detection), (UPSAMPLER_RATE, upsampler)]

    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar training loss of normal images in this step's phase.

        Under autocast, the frozen VQ-VAE stays in float32, since rounding would change codes.
        """
        images = batch.get_images().float()
        _check_size(images)
        draws = batch.get_draws()
        if batch.step < self.last_phase * batch.steps:
            return self._detection_loss(turn_some(images, draws, TURNED_DETECTION), draws)
        return self._upsampler_loss(turn_some(images, draws, TURNED_UPSAMPLER), draws)

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return upsampled probabilities of a defect.

        The score is the largest mean over 21 × 21 pixels of the probabilities before they are
        upsampled.

        Raises:
            ValueError: The sides of the images are not multiples of 32, at least 64.
        """
        images = batch.get_images().float()
        _check_size(images)
        pictures, logits = self._segment(*self.vqvae.encode(images))
        upsampled = self.upsampler(torch.cat((pictures, logits.softmax(dim=1)), dim=1))
        scores = score_by_mean_of_window(defect_probability(logits)).scores
        return {"score": Prediction(scores, defect_probability(upsampled))}

    def _detection_loss(self, images: Tensor, draws: Draws) -> Tensor:
        """Return squared errors of features and picture plus the focal loss of the segmentation."""
        with _float32(images), torch.no_grad():
            codes = defective_codes(self.vqvae, images, draws)
            general = self.vqvae.decode(codes.lo, codes.hi)
        features_lo, features_hi = self.restriction_lo(codes.lo), self.restriction_hi(codes.hi)
        restored = self.object_decoder(self._requantized(features_lo, features_hi))
        logits = self.segmentation(torch.cat((restored.detach(), general), dim=1))
        return (
            F.mse_loss(features_lo.float(), codes.normal_lo.float())
            + F.mse_loss(features_hi.float(), codes.normal_hi.float())
            + IMAGE_WEIGHT * F.mse_loss(restored.float(), images)
            + focal_loss(logits, codes.masks)
        )

    def _upsampler_loss(self, images: Tensor, draws: Draws) -> Tensor:
        """Return the focal loss of the upsampled segmentation of smudges, whose masks are exact."""
        with torch.no_grad():
            with _float32(images):
                images, masks = smudged(images, draws)
                codes = self.vqvae.encode(images)
            pictures, logits = self._segment(*codes)
            joined = torch.cat((pictures, logits.softmax(dim=1)), dim=1)
        return focal_loss(self.upsampler(joined), masks)

    def _segment(self, codes_lo: Tensor, codes_hi: Tensor) -> tuple[Tensor, Tensor]:
        """Return the object's and the general picture ``(B, 6, H, W)`` and the logits of both."""
        features = self.restriction_lo(codes_lo), self.restriction_hi(codes_hi)
        restored = self.object_decoder(self._requantized(*features))
        with _float32(codes_lo):
            general = self.vqvae.decode(codes_lo, codes_hi)
        pictures = torch.cat((restored, general), dim=1)
        return pictures, self.segmentation(pictures)

    def _requantized(self, features_lo: Tensor, features_hi: Tensor) -> Tensor:
        with _float32(features_lo):
            quantized = self.vqvae.codes_lo(features_lo), self.vqvae.codes_hi(features_hi)
            return self.vqvae.join(*quantized)


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    width: int = WIDTH,
    codes: int = CODES,
) -> DSR:
    """Build a DSR; see `models.components.base.Build`.

    Args:
        weights: Tag of the VQ-VAE's weights.
        state: VQ-VAE's tensors, see `models.dsr.vqvae.frozen_vqvae`; None leaves it random.
        width: Dimension of a code, 128 in the paper.
        codes: Number of codes of each resolution, 4,096 in the paper.

    Raises:
        ValueError: The weights are another network's, or the tensors do not fit.
    """
    if weights not in WEIGHTS or WEIGHTS[weights].architecture != "dsr_vqvae":
        raise ValueError(
            "DSR encodes images by its own VQ-VAE: wanted weights of a dsr_vqvae, such as "
            f"dsr_vqvae.pretrained, found '{weights}'."
        )
    vqvae = frozen_vqvae(WEIGHTS[weights], state, width, codes)
    return DSR(vqvae, width).to(memory_format=torch.channels_last)


def _float32(tensor: Tensor) -> torch.autocast:
    """Return a context without autocast on the tensor's device."""
    return torch.autocast(tensor.device.type, enabled=False)


def _check_size(images: Tensor) -> None:
    height, width = images.shape[-2:]
    check_multiple("DSR halves an image five times", height, width, _MULTIPLE, _MIN_SIZE)
