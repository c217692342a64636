"""Networks whose tensors are loaded from a file, built without drawing them first."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

# A truncated normal is a uniform draw followed by erfinv, mul, add and clamp. torch's own
# initializers are overridden as a whole: the calls inside them are not.
_DRAWS = {
    *(nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_),
    *(Tensor.normal_, Tensor.uniform_, Tensor.bernoulli_),
    *(Tensor.erfinv_, Tensor.mul_, Tensor.add_, Tensor.clamp_),
}


class _NothingDrawn(TorchFunctionMode):
    """Skips drawing random numbers for tensors without storage.

    For these, torch draws through its compiler, whose import takes as long as torch's own.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _DRAWS:
            drawn = args[0] if args else kwargs["tensor"]
            if drawn.is_meta:
                return drawn
        return func(*args, **kwargs)


@contextmanager
def undrawn(state: Mapping[str, Any] | None) -> Iterator[None]:
    """Build modules without storage in this block if their tensors will be loaded from a state.

    Drawing them takes seconds by itself.

    Args:
        state: The tensors; None lets the block draw its own.
    """
    if state is None:
        yield
        return
    with torch.device("meta"), _NothingDrawn():
        yield


def load_copies(network: nn.Module, tensors: Mapping[str, Tensor], *, strict: bool = True) -> None:
    """Give a network that was built `undrawn` float32 copies of tensors that fit it."""
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in tensors.items()}
    network.load_state_dict(copies, strict=strict, assign=True)
