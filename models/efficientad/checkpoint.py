"""Whether a checkpoint is an EfficientAD's of the same size."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from models.efficientad.pdn import misfits


def check(
    checkpoint: Mapping[str, Any],
    parts: Mapping[str, nn.Module],
    shapes: Mapping[str, tuple[int, ...]],
) -> None:
    """Refuse a checkpoint before any of it is loaded.

    Args:
        checkpoint: As `torch.load` gave it.
        parts: What has a state dict in it, by name.
        shapes: Of the tensors in it that may be None, by name.

    Raises:
        ValueError: It is another model's.
    """
    if complaints := [
        *_of_keys(checkpoint, {*parts, *shapes}),
        *_of_values(checkpoint, parts, shapes),
    ]:
        raise ValueError(
            f"This is a checkpoint of another model: wanted {', '.join([*parts, *shapes])} of an "
            f"EfficientAD of this size, found that {'; '.join(complaints)}. Give the one that was "
            "saved from this configuration."
        )


def _of_keys(checkpoint: Mapping[str, Any], wanted: set[str]) -> Iterator[str]:
    for name in sorted(wanted - checkpoint.keys()):
        yield f"'{name}' is missing"
    for name in sorted(map(str, checkpoint.keys() - wanted)):
        yield f"'{name}' is none of them"


def _of_values(
    checkpoint: Mapping[str, Any],
    parts: Mapping[str, nn.Module],
    shapes: Mapping[str, tuple[int, ...]],
) -> Iterator[str]:
    for name in parts.keys() & checkpoint.keys():
        if not isinstance(found := checkpoint[name], Mapping):
            yield f"'{name}' is a {type(found).__name__}"
            continue
        for clause in misfits(parts[name].state_dict(), found):
            yield f"of '{name}' {clause}"
    for name in shapes.keys() & checkpoint.keys():
        shape = getattr(checkpoint[name], "shape", None)
        if checkpoint[name] is not None and shape != shapes[name]:
            yield f"'{name}' is not of shape {shapes[name]}"
