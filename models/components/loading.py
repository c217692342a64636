"""Building networks whose tensors are loaded from a file rather than drawn."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


def undrawn(state: Mapping[str, Tensor] | None) -> AbstractContextManager[object]:
    """Return a context in which modules get no parameters yet, for a state that will replace them.

    Drawing those of a large network takes seconds. Without a state, they are drawn.
    """
    return nullcontext() if state is None else torch.device("meta")


def load_copies(network: nn.Module, tensors: Mapping[str, Tensor], *, strict: bool = True) -> None:
    """Give a network that was built `undrawn` float32 copies of tensors that fit it."""
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in tensors.items()}
    network.load_state_dict(copies, strict=strict, assign=True)
