"""torch's optimizers without torch's compiler, whose import takes longer than torch's own.

`torch.optim` imports it at the first optimizer and the first step, to keep both out of compiled
code. Here only a model's loss is ever compiled, never an optimizer.
"""

from functools import cache
from inspect import unwrap
from typing import Any, TypeVar, cast

import torch
from torch._compile import _disable_dynamo
from torch.optim import Optimizer

_Optimizer = TypeVar("_Optimizer", bound=Optimizer)


def light(base: type[_Optimizer]) -> type[_Optimizer]:
    """Return a subclass of an optimizer of torch's that never imports torch's compiler."""
    _exempt_methods()
    step: Any = torch.no_grad()(unwrap(base.step))
    attributes = {"step": step, "__module__": base.__module__}
    return cast("type[_Optimizer]", type(base.__name__, (base,), attributes))


@cache
def _exempt_methods() -> None:
    """Mark the methods that all optimizers inherit as already kept from the compiler."""
    deferred = _disable_dynamo(_exempt_methods).__code__
    for method in vars(Optimizer).values():
        if getattr(method, "__code__", None) is deferred:
            method.__wrapped__.__dynamo_disable = method.__wrapped__
