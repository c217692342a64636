"""MixUp and CutMix: pairs of images and of labels, mixed by the same λ.

The partner of each image and, in the originals' way, λ are drawn for the batch as a whole: these
two are the only augmentations that depend on how batches are cut.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from datasets_lib.augment.augmentation import Targets
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.rows import select, where_masked

_TRIES = 16
"""Each try is accepted with probability over 0.95, so that all fail once in 10²⁰ draws."""


@dataclass(frozen=True)
class MixUp:
    """x = λ x₁ + (1 − λ) x₂, and labels likewise (Zhang et al.: mixup, ICLR 2018).

    Attributes:
        classes: How many there are.
        alpha: Of λ ~ Beta(α, α).
        per_sample: Whether each image has its own λ, or the batch one.
    """

    classes: int
    alpha: float = 1.0
    per_sample: bool = False

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Float images in [0, 1], for a mean of two needs more than 8 bits; soft labels (B, K)."""
        labels = soft_labels(targets, self.classes)
        if images.dtype == torch.uint8:
            images = images.to(torch.float32) / 255
        share = _draw_share(streams, self.alpha, self.per_sample)
        partner = streams.batch.fold_in("partner").permutation(len(images))
        weight = share[:, None, None, None].to(images.dtype)
        mixed = torch.lerp(select(images, partner), images, weight)
        return mixed, torch.lerp(labels[partner], labels, share[:, None])


@dataclass(frozen=True)
class CutMix:
    """Pastes a box of another image; labels mix by its area (Yun et al.: CutMix, ICCV 2019).

    The box has a share 1 − λ of the area and its center anywhere, so that the border may cut it;
    the labels then mix by the area that was in fact pasted.

    Attributes:
        classes: How many there are.
        alpha: Of λ ~ Beta(α, α).
        per_sample: Whether each image has its own λ and box, or the batch one.
    """

    classes: int
    alpha: float = 1.0
    per_sample: bool = False

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Images of the same dtype; soft labels (B, K)."""
        labels = soft_labels(targets, self.classes)
        share = _draw_share(streams, self.alpha, self.per_sample)
        box = _boxes(streams if self.per_sample else streams.batch, share, images.shape[2:])
        partner = streams.batch.fold_in("partner").permutation(len(images))
        mixed = where_masked(box, select(images, partner), images)
        kept = 1 - box.float().mean(dim=(1, 2))
        return mixed, torch.lerp(labels[partner], labels, kept[:, None])


def soft_labels(targets: Targets, classes: int) -> Tensor:
    """float32 (B, K) of int64 labels (B,) or of labels that are soft already.

    Raises:
        ValueError: Targets are masks or missing, or have another number of classes.
    """
    if targets is not None and targets.dim() == 1:
        return (targets[:, None] == torch.arange(classes, device=targets.device)).float()
    if targets is not None and targets.dim() == 2 and targets.shape[1] == classes:
        return targets
    found = "none" if targets is None else f"a tensor of shape {tuple(targets.shape)}"
    raise ValueError(
        f"MixUp and CutMix want labels (B,) or soft labels (B, {classes}), found {found}. They mix "
        "labels: use them for classification, with the data set's number of classes."
    )


def _draw_share(streams: RandomStreams, alpha: float, per_sample: bool) -> Tensor:
    """λ: (B,), or (1,) for the batch."""
    return beta((streams if per_sample else streams.batch).fold_in("share"), alpha)


def _boxes(streams: RandomStreams, share: Tensor, size: torch.Size) -> Tensor:
    """Bool (B or 1, H, W), True in boxes of area 1 − λ around a random pixel."""
    half = 0.5 * (1 - share).sqrt()
    inside = []
    for name, length in zip(("y", "x"), size, strict=True):
        center = streams.fold_in(name).integers(length)
        reach = (half * length).long()
        place = torch.arange(length, device=share.device)
        low, high = (center - reach)[:, None], (center + reach)[:, None]
        inside.append((place >= low) & (place < high))
    return inside[0][:, :, None] & inside[1][:, None, :]


def beta(streams: RandomStreams, alpha: float) -> Tensor:
    """float32 (B,), one Beta(α, α) for each sample: X / (X + Y) of two gammas.

    Raises:
        ValueError: ``alpha`` is not positive.
    """
    if not alpha > 0:
        raise ValueError(
            f"The Beta distribution of MixUp and CutMix wants alpha > 0, found {alpha}. "
            "Use 'none' for no mixing."
        )
    if alpha == 1:
        return streams.fold_in("uniform").uniform()
    first, second = (_log_gamma_variate(streams.fold_in(name), alpha) for name in ("x", "y"))
    return (first - second).sigmoid()


def _log_gamma_variate(streams: RandomStreams, alpha: float) -> Tensor:
    """(B,), the logarithm of a Gamma(α, 1) variate.

    Marsaglia and Tsang's rejection (A simple method for generating gamma variables, ACM TOMS 2000)
    for α + 1, times U^(1/α); the logarithm, because for small α the variate itself underflows.
    """
    d = alpha + 1 - 1 / 3
    c = 1 / math.sqrt(9 * d)
    x = streams.fold_in("normal").normal(_TRIES)
    v = (1 + c * x) ** 3
    log_v = v.clamp_min(1e-30).log()
    log_u = _log_uniform(streams.fold_in("accept"), _TRIES)
    accepted = (v > 0) & (log_u < 0.5 * x**2 + d - d * v + d * log_v)
    tries = torch.arange(_TRIES, device=x.device)
    first = torch.where(accepted, tries, _TRIES - 1).amin(dim=1, keepdim=True)
    log_of_larger = math.log(d) + log_v.gather(1, first)[:, 0]
    return log_of_larger + _log_uniform(streams.fold_in("power"), 1)[:, 0] / alpha


def _log_uniform(streams: RandomStreams, count: int) -> Tensor:
    """(B, count), log of uniforms in (0, 1]."""
    return (1 - streams.uniform(count)).log()
