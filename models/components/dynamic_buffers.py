"""Reading what a model gathered out of a checkpoint, where only gathering decides its sizes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def load_dynamic_buffers(
    checkpoint: Mapping[str, Any],
    shapes: Mapping[str, str],
    device: torch.device,
    **known: int,
) -> dict[str, Tensor]:
    """Copies of tensors whose shapes agree with one another and with a model.

    Args:
        checkpoint: As the model's ``checkpoint()`` gave it.
        shapes: By name of the tensor its dimensions by name, such as ``images channels``; equal
            names are equal sizes.
        device: Where the copies are wanted.
        known: Dimensions that the model knows.

    Raises:
        ValueError: A tensor is absent or of another shape.
    """
    sizes = dict(known)
    taken: dict[str, Tensor] = {}
    for name, shape in shapes.items():
        found = checkpoint.get(name)
        dimensions = shape.split()
        wanted = ", ".join(
            f"{each} = {sizes[each]}" if each in sizes else each for each in dimensions
        )
        if not isinstance(found, Tensor):
            holds = ", ".join(f"'{key}'" for key in checkpoint) or "nothing"
            complaint = f"a tensor '{name}' ({wanted}), found {holds}"
        elif found.ndim != len(dimensions) or any(
            sizes.setdefault(each, size) != size
            for each, size in zip(dimensions, found.shape, strict=True)
        ):
            complaint = f"'{name}' of shape ({wanted}), found {tuple(found.shape)}"
        else:
            taken[name] = found.to(device, copy=True)
            continue
        raise ValueError(
            f"This is a checkpoint of another model: wanted {complaint}. Give the one that was "
            "saved from this configuration."
        )
    return taken
