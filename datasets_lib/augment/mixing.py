"""MixUp and CutMix: pairs of images and of labels, mixed by the same λ.

The partner of each image and, in the originals' way, λ are drawn for the batch as a whole: these
two are the only augmentations that depend on how batches are cut.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from datasets_lib.augment.augmentation import Targets
from datasets_lib.augment.beta import beta
from datasets_lib.augment.random_streams import RandomStreams
from datasets_lib.augment.rows import select, where_masked


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
        partner = streams.batch.stream("partner").permutation(len(images))
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
        partner = streams.batch.stream("partner").permutation(len(images))
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
    return beta((streams if per_sample else streams.batch).stream("share"), alpha)


def _boxes(streams: RandomStreams, share: Tensor, size: torch.Size) -> Tensor:
    """Bool (B or 1, H, W), True in boxes of area 1 − λ around a random pixel."""
    half = 0.5 * (1 - share).sqrt()
    inside = []
    for name, length in zip(("y", "x"), size, strict=True):
        center = streams.stream(name).integers(length)
        reach = (half * length).long()
        place = torch.arange(length, device=share.device)
        low, high = (center - reach)[:, None], (center + reach)[:, None]
        inside.append((place >= low) & (place < high))
    return inside[0][:, :, None] & inside[1][:, None, :]
