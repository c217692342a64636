"""Every named augmentation, as data; imports no torch.

One registration adds an augmentation, from this file or from a plugin::

    from torchvision.transforms import v2

    register_augmentation(
        AugmentationEntry("blur", "Gaussian blur", lambda: v2.GaussianBlur(3))
    )
"""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from datasets_lib.resolve import resolve_callable

if TYPE_CHECKING:
    from datasets_lib.augment.augmentation import Augmentation

Task = Literal["anomaly", "classification"]


class UnknownAugmentationError(ValueError):
    """The task has no augmentation of this name."""


@dataclass(frozen=True)
class AugmentationEntry:
    """One named augmentation.

    Attributes:
        name: Id in case names, in ``[a-z0-9_]``.
        title: Description for tables.
        builder: Function that returns the augmentation, or its import path ``module:function``.
            It may return an `Augmentation` or a ``torchvision.transforms.v2`` transform.
        tasks: Tasks that offer the augmentation.
    """

    name: str
    title: str
    builder: str | Callable[..., Any]
    tasks: tuple[Task, ...] = ("anomaly", "classification")


_AUGMENTATIONS: dict[str, AugmentationEntry] = {}

AUGMENTATIONS: Mapping[str, AugmentationEntry] = MappingProxyType(_AUGMENTATIONS)
"""Registered augmentations by name, a read-only view that shows later registrations."""


def register_augmentation(entry: AugmentationEntry) -> None:
    """Add an augmentation to the catalog.

    Raises:
        ValueError: The name is taken or holds characters outside ``[a-z0-9_]``, or the builder is
            the augmentation itself.
    """
    if not re.fullmatch("[a-z0-9_]+", entry.name):
        raise ValueError(
            f"The augmentation name {entry.name!r} cannot be part of a case id: expected "
            "lower-case letters, digits and underscores. Rename the augmentation."
        )
    if other := _AUGMENTATIONS.get(entry.name):
        raise ValueError(
            f"Two augmentations are named '{entry.name}': '{other.title}' ({other.builder}) and "
            f"'{entry.title}' ({entry.builder}). Rename one of them."
        )
    # Recognized by what an augmentation takes, because torch is not imported here.
    module = hasattr(entry.builder, "forward") and not isinstance(entry.builder, type)
    if module or "images" in _parameters(entry.builder):
        raise ValueError(
            f"The augmentation '{entry.name}' is given as its own builder: wanted a function that "
            "returns it. Write builder=lambda: and the augmentation."
        )
    _AUGMENTATIONS[entry.name] = entry


def _parameters(builder: str | Callable[..., Any]) -> Iterable[str]:
    return () if isinstance(builder, str) else inspect.signature(builder).parameters


def names(task: Task) -> list[str]:
    """Return the names of a task's augmentations in order of registration.

    >>> names("anomaly")[:2]
    ['none', 'default']
    """
    return [name for name, entry in AUGMENTATIONS.items() if task in entry.tasks]


def find(task: Task, name: str) -> AugmentationEntry:
    """Return the entry of this name.

    Raises:
        UnknownAugmentationError: The task has no such augmentation; the message suggests the
            closest name.
    """
    offered = names(task)
    if name in offered:
        return AUGMENTATIONS[name]
    close = difflib.get_close_matches(name, offered, n=1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    if name in AUGMENTATIONS:
        hint = f"It belongs to {' and '.join(AUGMENTATIONS[name].tasks)}. "
    raise UnknownAugmentationError(
        f"There is no augmentation '{name}' for {task}. {hint}Choose from {', '.join(offered)}."
    )


def build(task: Task, name: str, **options: float) -> "Augmentation":
    """Build an augmentation; imports torch.

    Args:
        task: Task of the model.
        name: Name in the catalog.
        options: Values that a builder may ask for, such as ``classes`` and ``alpha`` of MixUp and
            CutMix; each builder gets those that it has a parameter for.

    Raises:
        UnknownAugmentationError: The task has no such augmentation.
    """
    from datasets_lib.augment.torchvision_transform import as_augmentation

    builder = resolve_callable(find(task, name).builder)
    accepted = inspect.signature(builder).parameters
    return as_augmentation(builder(**{k: v for k, v in options.items() if k in accepted}))


def _register(name: str, title: str, builder: str, *tasks: Task) -> None:
    path = f"datasets_lib.augment.{builder}"
    register_augmentation(AugmentationEntry(name, title, path, tasks))


# The default is none. In classification the recipe's base transform runs before the augmentation.
# In anomaly detection a flip can turn one kind of defect into a normal image, and features of a
# frozen backbone are computed once only while the images stay the same.
for _name in ("none", "default"):
    _register(_name, "none", "augmentation:Identity", "anomaly", "classification")
_register("flip_crop", "flip, pad 4 and crop", "flips:FlipCrop", "classification")
_register("mixup", "MixUp", "mixing:MixUp", "classification")
_register("cutmix", "CutMix", "mixing:CutMix", "classification")
_register("modern", "RandAugment, resized crop, flip", "rand_augment:modern", "classification")
_register("flips", "flips both ways", "flips:Flips", "anomaly")
_register("rotation", "30 % rotated by up to 90 degrees", "warp:Rotation", "anomaly")
_register("quarter_turns", "multiples of 90 degrees", "warp:QuarterTurns", "anomaly")
_register("color_jitter", "color jitter of 20 %", "color_jitter:ColorJitter", "anomaly")
