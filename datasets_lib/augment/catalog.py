"""Every named augmentation, as data; imports no torch."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

from datasets_lib.resolve import resolve_callable

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
        builder: Import path ``module:function`` of a ``(**options) -> Augmentation``.
    """

    title: str
    builder: str


def _entry(title: str, function: str) -> AugmentationEntry:
    return AugmentationEntry(title, f"datasets_lib.augment.builders:{function}")


_NONE = _entry("none", "none")

AUGMENTATIONS: Mapping[Task, Mapping[str, AugmentationEntry]] = MappingProxyType(
    {
        "classification": MappingProxyType(
            {
                "none": _NONE,
                "default": _NONE,
                "flip_crop": _entry("flip, pad 4 and crop", "flip_crop"),
                "mixup": _entry("MixUp", "mixup"),
                "cutmix": _entry("CutMix", "cutmix"),
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
                "color_jitter": _entry("color jitter of 20 %", "color_jitter"),
            }
        ),
    }
)
"""By task and id. The default is none: of classification because a recipe's base transform comes
before it, MixUp and CutMix alike; of anomaly detection because flips turn some defects' kinds into
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


def build(task: Task, name: str, **options: float) -> "Augmentation":
    """The augmentation itself; imports torch.

    Args:
        task: What the model is asked.
        name: Id in the catalog.
        options: Of its builder, such as ``classes`` and ``alpha`` of those that mix labels.

    Raises:
        UnknownAugmentationError: There is none of this name.
    """
    builder = cast("Callable[..., Augmentation]", resolve_callable(find(task, name).builder))
    return builder(**options)
