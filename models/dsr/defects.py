"""DSR's synthetic defects: other codes under Perlin masks, and smudges of one color.

Zavrtanik, Kristan and Skočaj, DSR, ECCV 2022, section 3.2, with the constants of the official code.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.components.draws import Draws
from models.components.perlin import perlin_masks
from models.dsr.vqvae import STRIDE_HI, STRIDE_LO, VQVAE, Codebook

PROBABILITY = 0.5
"""Probability of a defect."""

MIN_STRENGTH = 0.2
"""Minimum share of the codes, the nearest, that a defect's codes are drawn from."""

NEAREST = 0.05
"""Share of the codes, the nearest, that look too similar to be a defect."""

MAX_BETA = 0.8
"""Maximum opacity of the image under a smudge."""


@dataclass(frozen=True)
class DefectiveCodes:
    """Codes of images, with defects and without.

    Attributes:
        normal_lo: ``(B, D, H / 8, W / 8)`` codes without defects.
        normal_hi: ``(B, D, H / 4, W / 4)`` codes without defects.
        lo: Codes of the low resolution with defects.
        hi: Codes of the high resolution with defects.
        masks: Bool ``(B, H, W)``, coarsened to the positions whose codes were changed.
    """

    normal_lo: Tensor
    normal_hi: Tensor
    lo: Tensor
    hi: Tensor
    masks: Tensor


@torch.no_grad()
def defective_codes(vqvae: VQVAE, images: Tensor, draws: Draws) -> DefectiveCodes:
    """Encode images ``(B, 3, H, W)`` and swap codes of about half of them.

    Codes change in both resolutions, with a probability of a half, or in one of them. A change in
    the low resolution also moves the features of the high one.
    """
    masks = _some_masks(images, draws)
    strength = MIN_STRENGTH + (1 - MIN_STRENGTH) * draws.fold_in("strength").uniform(2)
    both, lo_alone = (draws.fold_in("resolutions").uniform(2, 1, 1, 1) < 0.5).unbind(dim=1)
    in_lo, in_hi = both | lo_alone, both | ~lo_alone

    encoded = vqvae.encoder_hi(images)
    features_lo = vqvae.features_lo(encoded)
    normal_lo = vqvae.codes_lo(features_lo)
    normal_hi_features = vqvae.features_hi(encoded, normal_lo)
    normal_hi = vqvae.codes_hi(normal_hi_features)

    masks_lo, masks_hi = coarsened(masks, STRIDE_LO), coarsened(masks, STRIDE_HI)
    swaps_lo = Swaps(masks_lo & in_lo[:, 0], strength[:, 0], draws.fold_in("lo"))
    lo = swapped(features_lo, normal_lo, vqvae.codes_lo, swaps_lo)
    moved = vqvae.features_hi(encoded, lo)
    features_hi = torch.where(both, moved, normal_hi_features)
    unswapped = torch.where(both, vqvae.codes_hi(moved), normal_hi)
    swaps_hi = Swaps(masks_hi & in_hi[:, 0], strength[:, 1], draws.fold_in("hi"))
    hi = swapped(features_hi, unswapped, vqvae.codes_hi, swaps_hi)
    changed = torch.where(
        in_lo[:, 0], _repeated(masks_lo, STRIDE_LO), _repeated(masks_hi, STRIDE_HI)
    )
    return DefectiveCodes(normal_lo, normal_hi, lo, hi, changed)


@dataclass(frozen=True)
class Swaps:
    """Which codes are swapped, and how far.

    Attributes:
        masks: Bool ``(B, h, w)``, True where codes are swapped.
        strength: ``(B,)`` in [0.2, 1].
        draws: Random numbers of the samples.
    """

    masks: Tensor
    strength: Tensor
    draws: Draws


def swapped(features: Tensor, quantized: Tensor, codes: Codebook, swaps: Swaps) -> Tensor:
    """Replace the codes under a mask by codes that are not the nearest ones.

    Of all codes, by their distance from the feature, one is drawn from those beyond the nearest
    5 % and within the share ``strength``.

    Only masked positions are searched, a few percent of all. Counting them waits for the device,
    which takes less time than sorting 4,096 distances of every position.

    Args:
        features: ``(B, D, h, w)`` before quantization.
        quantized: ``(B, D, h, w)`` the codes of the features.
        codes: The codes.
        swaps: Where to swap.

    Returns:
        Codes ``(B, D, h, w)``.
    """
    vectors, masks = codes.vectors, swaps.masks
    count, first = len(vectors), int(NEAREST * len(vectors))
    rows = features.float().movedim(1, -1)[masks]
    order = torch.cdist(rows, vectors).argsort(dim=1)
    last = (swaps.strength * count).long().add(1).clamp(first + 1, count - 1)
    within = last.view(-1, 1, 1).expand(masks.shape)[masks] - first
    drawn = swaps.draws.fold_in("ranks").uniform(*masks.shape[1:])[masks]
    rank = first + (drawn * within).long()
    result = quantized.movedim(1, -1).clone()
    result[masks] = vectors[order.gather(1, rank[:, None])[:, 0]].to(result.dtype)
    return result.movedim(-1, 1)


def smudged(images: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """Return images with smudges of one random color each, and their masks ``(B, H, W)``.

    About half of the images ``(B, 3, H, W)`` stay as they are.
    """
    masks = _some_masks(images, draws)
    color, beta = draws.fold_in("smudge").uniform(4, 1, 1).split((3, 1), dim=1)
    smudge = torch.lerp(color.expand_as(images), images, MAX_BETA * beta)
    return torch.where(masks[:, None], smudge, images), masks


def coarsened(masks: Tensor, stride: int) -> Tensor:
    """Return masks ``(B, H / stride, W / stride)``, True where any pixel of a square is."""
    return F.max_pool2d(masks[:, None].float(), stride)[:, 0] > 0


def _repeated(masks: Tensor, stride: int) -> Tensor:
    return masks.repeat_interleave(stride, 1).repeat_interleave(stride, 2)


def _some_masks(images: Tensor, draws: Draws) -> Tensor:
    height, width = images.shape[-2:]
    present = draws.fold_in("present").uniform(1, 1) < PROBABILITY
    return perlin_masks(draws, (height, width)) & present
