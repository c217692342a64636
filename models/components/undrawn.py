"""Networks whose tensors are about to be loaded, built without drawing them first."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_DRAWS = {Tensor.normal_, Tensor.uniform_, Tensor.bernoulli_}


class _NothingDrawn(TorchFunctionMode):
    """Leaves tensors without storage as they are where random numbers would fill them.

    There, torch draws by way of its compiler, whose import takes as long as torch's own.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in _DRAWS and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def undrawn(state: Mapping[str, Any] | None) -> Iterator[None]:
    """Build modules without storage in this block if their tensors will be loaded from a state.

    Drawing them alone takes seconds.

    Args:
        state: The tensors; None lets the block draw its own.
    """
    if state is None:
        yield
        return
    with torch.device("meta"), _NothingDrawn():
        yield
