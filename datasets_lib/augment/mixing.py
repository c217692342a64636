"""MixUp and CutMix: pairs of images and of labels, mixed with the same λ.

The partners and, as in the original papers, λ are drawn for the batch as a whole: these two are the
only augmentations that depend on the batching.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from datasets_lib.augment.augmentation import Targets
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.rows import select, where_masked

_TRIES = 16
"""Attempts of the rejection sampler. Each succeeds with probability above 0.95, so all fail only
once in 10²⁰ draws."""


@dataclass(frozen=True)
class MixUp:
    """x = λ x₁ + (1 − λ) x₂, the same for labels (Zhang et al.: mixup, ICLR 2018).

    Attributes:
        classes: Number of classes.
        alpha: Parameter of λ ~ Beta(α, α).
        per_sample: Whether each image draws its own λ instead of sharing that of the batch.
    """

    classes: int
    alpha: float = 1.0
    per_sample: bool = False

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Return float images in [0, 1], since a mean needs more than 8 bits, and labels (B, K)."""
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
    """A box of another image is pasted; labels mix by its area (Yun et al.: CutMix, ICCV 2019).

    The box covers a share 1 − λ of the area and is centered anywhere, so that the border may cut
    it; the labels mix by the area that was actually pasted.

    Attributes:
        classes: Number of classes.
        alpha: Parameter of λ ~ Beta(α, α).
        per_sample: Whether each image draws its own λ and box instead of sharing the batch's.
    """

    classes: int
    alpha: float = 1.0
    per_sample: bool = False

    def __call__(
        self, images: Tensor, targets: Targets, streams: RandomStreams
    ) -> tuple[Tensor, Targets]:
        """Return images of the same dtype and soft labels (B, K)."""
        labels = soft_labels(targets, self.classes)
        share = _draw_share(streams, self.alpha, self.per_sample)
        box = _boxes(streams if self.per_sample else streams.batch, share, images.shape[2:])
        partner = streams.batch.fold_in("partner").permutation(len(images))
        mixed = where_masked(box, select(images, partner), images)
        own_share = 1 - box.float().mean(dim=(1, 2))
        return mixed, torch.lerp(labels[partner], labels, own_share[:, None])


def soft_labels(targets: Targets, classes: int) -> Tensor:
    """Return float32 (B, K) from int64 labels (B,); soft labels are returned as they are.

    Raises:
        ValueError: Targets are masks or missing, or have another number of classes.
    """
    if targets is not None and targets.dim() == 1:
        return (targets[:, None] == torch.arange(classes, device=targets.device)).float()
    if targets is not None and targets.dim() == 2 and targets.shape[1] == classes:
        return targets
    given = "none" if targets is None else f"a tensor of shape {tuple(targets.shape)}"
    raise ValueError(
        f"MixUp and CutMix need labels (B,) or soft labels (B, {classes}), found {given}. They mix "
        "labels: use them for classification, with the dataset's number of classes."
    )


def _draw_share(streams: RandomStreams, alpha: float, per_sample: bool) -> Tensor:
    """Draw λ, (B,), or (1,) for the batch."""
    return beta((streams if per_sample else streams.batch).fold_in("share"), alpha)


def _boxes(streams: RandomStreams, share: Tensor, size: torch.Size) -> Tensor:
    """Return bool (B or 1, H, W), True in boxes of area 1 − λ around a random pixel."""
    half = 0.5 * (1 - share).sqrt()  # of the box's side, as a share of the image's
    inside = []
    for name, length in zip(("y", "x"), size, strict=True):
        center = streams.fold_in(name).integers(length)
        reach = (half * length).long()
        place = torch.arange(length, device=share.device)
        low, high = (center - reach)[:, None], (center + reach)[:, None]
        # A box over the border is cut there, since there are no pixels outside.
        inside.append((place >= low) & (place < high))
    return inside[0][:, :, None] & inside[1][:, None, :]


def beta(streams: RandomStreams, alpha: float) -> Tensor:
    """Draw one Beta(α, α) variate for each sample, float32 (B,), exact for every α > 0.

    Raises:
        ValueError: ``alpha`` is not positive.
    """
    if not alpha > 0:
        raise ValueError(
            f"The Beta distribution of MixUp and CutMix needs alpha > 0, found {alpha}. "
            "Use 'none' for no mixing."
        )
    if alpha == 1:
        return streams.fold_in("uniform").uniform()
    # X / (X + Y) of two gamma variates, as a sigmoid of their logarithms.
    first, second = (_log_gamma_variate(streams.fold_in(name), alpha) for name in ("x", "y"))
    return (first - second).sigmoid()


def _log_gamma_variate(streams: RandomStreams, alpha: float) -> Tensor:
    """Draw the logarithm of a Gamma(α, 1) variate, (B,).

    Marsaglia and Tsang's rejection (A simple method for generating gamma variables, ACM TOMS 2000)
    for α + 1, times U^(1/α). In logarithms, because the variate itself underflows for small α.
    """
    d = alpha + 1 - 1 / 3
    c = 1 / math.sqrt(9 * d)
    x = streams.fold_in("normal").normal(_TRIES)
    v = (1 + c * x) ** 3
    log_v = v.clamp_min(1e-30).log()
    log_u = _log_uniform(streams.fold_in("accept"), _TRIES)
    accepted = (v > 0) & (log_u < 0.5 * x**2 + d - d * v + d * log_v)
    tries = torch.arange(_TRIES, device=x.device)
    # The number of the first accepted try of each sample.
    first = torch.where(accepted, tries, _TRIES - 1).amin(dim=1, keepdim=True)
    log_of_larger = math.log(d) + log_v.gather(1, first)[:, 0]
    return log_of_larger + _log_uniform(streams.fold_in("power"), 1)[:, 0] / alpha


def _log_uniform(streams: RandomStreams, count: int) -> Tensor:
    """Draw logarithms of uniforms in (0, 1], (B, count)."""
    return (1 - streams.uniform(count)).log()
