"""The augmentations that the catalog names, put together."""

from datasets_lib.augment.augmentation import Augmentation, Identity, Sequence
from datasets_lib.augment.color_jitter import ColorJitter
from datasets_lib.augment.flips import FlipCrop, Flips
from datasets_lib.augment.mixing import CutMix, MixUp
from datasets_lib.augment.rand_augment import RandAugment
from datasets_lib.augment.resized_crop import ResizedCrop
from datasets_lib.augment.warp import QuarterTurns, Rotation


def none() -> Augmentation:
    """Images as they are."""
    return Identity()


def flip_crop() -> Augmentation:
    """Left-right flip, pad 4, random crop."""
    return FlipCrop()


def mixup(classes: int, alpha: float = 1.0) -> Augmentation:
    """MixUp, one λ a batch."""
    return MixUp(classes, alpha)


def cutmix(classes: int, alpha: float = 1.0) -> Augmentation:
    """CutMix, one λ a batch."""
    return CutMix(classes, alpha)


def modern() -> Augmentation:
    """RandAugment 2 × 9, then a resized crop and a flip."""
    return Sequence((RandAugment(), ResizedCrop()))


def flips() -> Augmentation:
    """Flips both ways."""
    return Flips()


def rotation() -> Augmentation:
    """DRAEM's rotation: 30 % of the images, by up to 90 degrees."""
    return Rotation()


def quarter_turns() -> Augmentation:
    """Turns by multiples of 90 degrees."""
    return QuarterTurns()


def color_jitter() -> Augmentation:
    """Brightness, contrast and saturation within 20 %."""
    return ColorJitter()
