"""Load tensors into a module, completely or not at all, even buffers of data-dependent size."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_SHOWN = 3

Dimension = str | int
"""Size of a dimension: a number, or a name that stands for one size throughout its module."""


class DynamicBuffers(nn.Module):
    """A module with buffers whose sizes depend on the training images, such as a memory bank.

    Such a buffer is empty, of shape ``(0,)``, until it is assigned. Loading resizes it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._dimensions: dict[str, tuple[Dimension, ...]] = {}

    def register_dynamic_buffer(self, name: str, *dimensions: Dimension) -> None:
        """Register an empty float32 buffer of the dimensions it will have.

        Args:
            name: Attribute of the buffer.
            dimensions: Sizes that are known, names for those that are not. Equal names in one
                module are equal sizes.
        """
        self._dimensions[name] = dimensions
        self.register_buffer(name, torch.empty(0))

    def dynamic_misfits(self, tensors: Mapping[str, Tensor]) -> Iterator[str]:
        """Yield contradictions between this module's buffers, by name, as clauses.

        Subclasses add what dimensions cannot express, such as a product of two of them.
        """
        sizes: dict[str, int] = {}
        for name, dimensions in self._dimensions.items():
            shape = tuple(tensors[name].shape)
            if shape == (0,):  # not assigned yet, and neither is any that shares a name with it
                shape = tuple(0 if isinstance(d, str) else d for d in dimensions)
            fits = len(shape) == len(dimensions) and all(
                size == (sizes.setdefault(wanted, size) if isinstance(wanted, str) else wanted)
                for wanted, size in zip(dimensions, shape, strict=True)
            )
            if not fits:
                known = [f"{d} = {sizes[d]}" if d in sizes else str(d) for d in dimensions]
                wanted_shape = f"({', '.join(known)}{',' if len(known) == 1 else ''})"
                yield f"{name} is {tuple(tensors[name].shape)} where {wanted_shape} is wanted"


def misfits(wanted: Mapping[str, Tensor], tensors: Mapping[str, object]) -> list[str]:
    """Return how tensors differ from those that are wanted, as clauses; empty if they fit.

    >>> misfits({"weight": torch.zeros(2)}, {"weight": torch.zeros(3)})
    ['1 have another shape, such as weight is (3,) where (2,) is wanted']
    """
    missing = [name for name in wanted if name not in tensors]
    unknown = [str(name) for name in tensors if name not in wanted]
    reshaped = [
        f"{name} is {_shape(tensors[name])} where {tuple(tensor.shape)} is wanted"
        for name, tensor in wanted.items()
        if name in tensors and _shape(tensors[name]) != tuple(tensor.shape)
    ]
    return [
        f"{len(names)} {what}, such as {', '.join(names[:_SHOWN])}"
        for names, what in (
            (missing, "are missing"),
            (unknown, "belong to no layer of it"),
            (reshaped, "have another shape"),
        )
        if names
    ]


def load_tensors(
    module: nn.Module, tensors: Mapping[str, Any], without: Sequence[str] = ()
) -> None:
    """Load a state dict strictly; on a mismatch leave the module as it is.

    Args:
        module: Takes the tensors; `DynamicBuffers` within it are resized.
        tensors: By name, as ``state_dict()`` gives them.
        without: Names of submodules that the state dict leaves out.

    Raises:
        ValueError: The tensors are another model's; the message names what does not fit.
    """
    own = state_without(module, without)
    owners = {
        f"{prefix}.{name}" if prefix else name: (part, name)
        for prefix, part in module.named_modules()
        if isinstance(part, DynamicBuffers)
        for name in part._dimensions
    }
    # A dynamic buffer may have any shape here; its own module checks it below.
    wanted = {
        name: tensors[name] if name in owners and isinstance(tensors.get(name), Tensor) else tensor
        for name, tensor in own.items()
    }
    complaints = misfits(wanted, tensors) or list(_dynamic_misfits(module, tensors, without))
    if complaints:
        raise ValueError(
            f"This is a checkpoint of another model: wanted the {len(own)} tensors of "
            f"{type(module).__name__}, found {len(tensors)} entries: {'; '.join(complaints)}. Give "
            "the checkpoint that was saved from this configuration."
        )
    for name, (part, buffer) in owners.items():
        if name in own:
            part._buffers[buffer] = tensors[name].to(own[name].device, copy=True)
    module.load_state_dict({n: t for n, t in tensors.items() if n not in owners}, strict=False)


def state_without(module: nn.Module, without: Sequence[str]) -> dict[str, Tensor]:
    """Return a module's ``state_dict()`` without that of some submodules."""
    prefixes = tuple(f"{name}." for name in without)
    return {n: t for n, t in module.state_dict().items() if not n.startswith(prefixes)}


def _dynamic_misfits(
    module: nn.Module, tensors: Mapping[str, Any], without: Sequence[str]
) -> Iterable[str]:
    for prefix, part in module.named_modules():
        if isinstance(part, DynamicBuffers) and prefix.partition(".")[0] not in without:
            start = f"{prefix}." if prefix else ""
            own = {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
            yield from (f"{start}{clause}" for clause in part.dynamic_misfits(own))


def _shape(value: object) -> tuple[int, ...] | str:
    return tuple(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"
