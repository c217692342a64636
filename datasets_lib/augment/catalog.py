"""Every named augmentation, as data; imports no torch."""

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from datasets_lib.augment.augmentation import Augmentation

Task = Literal["anomaly", "classification"]


class UnknownAugmentationError(ValueError):
    """No augmentation of this name is there for the task."""


@dataclass(frozen=True)
class AugmentationEntry:
    """One named augmentation.

    Attributes:
        title: What it does, for tables.
        builder: Import path ``module:function`` of a ``(classes) -> Augmentation``.
    """

    title: str
    builder: str


def _entry(title: str, function: str) -> AugmentationEntry:
    return AugmentationEntry(title, f"datasets_lib.augment.builders:{function}")


_NONE = _entry("none", "none")
_FLIP_CROP = _entry("flip, pad 4 and crop", "flip_crop")

AUGMENTATIONS: Mapping[Task, Mapping[str, AugmentationEntry]] = MappingProxyType(
    {
        "classification": MappingProxyType(
            {
                "none": _NONE,
                "default": _FLIP_CROP,
                "flip_crop": _FLIP_CROP,
                "mixup": _entry("flip, crop, MixUp", "mixup"),
                "cutmix": _entry("flip, crop, CutMix", "cutmix"),
                "mixup_plain": _entry("MixUp alone", "mixup_plain"),
                "cutmix_plain": _entry("CutMix alone", "cutmix_plain"),
                "modern": _entry("RandAugment, resized crop, flip", "modern"),
            }
        ),
        "anomaly": MappingProxyType(
            {
                "none": _NONE,
                "default": _NONE,
                "flips": _entry("flips both ways", "flips"),
                "rotation": _entry("30 % turned by up to 90 degrees", "rotation"),
                "quarter_turns": _entry("multiples of 90 degrees", "quarter_turns"),
                "colour_jitter": _entry("colour jitter of 20 %", "colour_jitter"),
            }
        ),
    }
)
"""By task and id. The default of anomaly detection is none: flips turn some defects' kinds into
normal ones, and frozen features are computed once only where images stay as they are."""


def find(task: Task, name: str) -> AugmentationEntry:
    """The entry of this name.

    Raises:
        UnknownAugmentationError: There is none; the message suggests the nearest.
    """
    entries = AUGMENTATIONS[task]
    if name in entries:
        return entries[name]
    close = difflib.get_close_matches(name, entries, n=1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    other: Task = "classification" if task == "anomaly" else "anomaly"
    if name in AUGMENTATIONS[other]:
        hint = f"It is one of {other}'s. "
    raise UnknownAugmentationError(
        f"There is no augmentation '{name}' for {task}. {hint}Known are {', '.join(entries)}."
    )


def build(task: Task, name: str, classes: int = 0) -> "Augmentation":
    """The augmentation itself; imports torch.

    Args:
        task: What the model is asked.
        name: Id in the catalog.
        classes: How many the data set has, for those that mix labels.

    Raises:
        UnknownAugmentationError: There is none of this name.
    """
    module, _, function = find(task, name).builder.partition(":")
    builder = getattr(importlib.import_module(module), function)
    return cast("Callable[[int], Augmentation]", builder)(classes)
