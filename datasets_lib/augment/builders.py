"""The augmentations that the catalog names, put together; each takes the number of classes."""

from datasets_lib.augment.augmentation import Augmentation, Identity, Sequence
from datasets_lib.augment.flips import FlipCrop, Flips
from datasets_lib.augment.jitter import ColourJitter
from datasets_lib.augment.mixing import CutMix, MixUp
from datasets_lib.augment.rand_augment import RandAugment
from datasets_lib.augment.resized_crop import ResizedCrop
from datasets_lib.augment.warp import QuarterTurns, Rotation


def none(classes: int) -> Augmentation:
    """Images as they are."""
    return Identity()


def flip_crop(classes: int) -> Augmentation:
    """Left-right flip, pad 4, random crop."""
    return FlipCrop()


def mixup(classes: int) -> Augmentation:
    """MixUp of flipped and cropped images, one λ a batch."""
    return Sequence((FlipCrop(), MixUp(classes)))


def cutmix(classes: int) -> Augmentation:
    """CutMix of flipped and cropped images, one λ a batch."""
    return Sequence((FlipCrop(), CutMix(classes)))


def mixup_plain(classes: int) -> Augmentation:
    """MixUp of images as they are."""
    return MixUp(classes)


def cutmix_plain(classes: int) -> Augmentation:
    """CutMix of images as they are."""
    return CutMix(classes)


def modern(classes: int) -> Augmentation:
    """RandAugment 2 × 9, then a resized crop and a flip."""
    return Sequence((RandAugment(), ResizedCrop()))


def flips(classes: int) -> Augmentation:
    """Flips both ways."""
    return Flips()


def rotation(classes: int) -> Augmentation:
    """DRAEM's rotation: 30 % of the images, by up to 90 degrees."""
    return Rotation()


def quarter_turns(classes: int) -> Augmentation:
    """Turns by multiples of 90 degrees."""
    return QuarterTurns()


def colour_jitter(classes: int) -> Augmentation:
    """Brightness, contrast and saturation within 20 %."""
    return ColourJitter()
