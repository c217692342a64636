"""Loading tensors into networks that were built without drawing any, see `undrawn`."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


def load_copies(network: nn.Module, tensors: Mapping[str, Tensor], *, strict: bool = True) -> None:
    """Give a network on the meta device float32 copies of tensors that fit it."""
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in tensors.items()}
    network.load_state_dict(copies, strict=strict, assign=True)
