"""Counts that do not depend on the machine: floating-point operations and parameters."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker


@dataclass(frozen=True)
class ParameterCounts:
    """Parameters of a module; shared ones count once.

    Attributes:
        all: Number of all parameters.
        trainable: Number of parameters that require a gradient.
    """

    all: int
    trainable: int


def count_flops(step: Callable[[], object]) -> int:
    """Return the floating-point operations of one call, including its backward pass if any.

    A multiply-add counts as two. Matrix products, convolutions and attention count; element-wise
    work, normalization, pooling and interpolation do not, as in torch's own counter.
    """
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoModules()
    # torch's counter does not know the CPU's fused attention and would count it as nothing.
    with sdpa_kernel(SDPBackend.MATH), counter:
        step()
    return int(counter.get_total_flops())


class _NoModules(ModuleTracker):
    """Attributes operations to no module.

    torch's own tracker fails in inference mode where a parameter is the input of a module, as in
    FrEIA's blocks.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def parameter_counts(module: nn.Module) -> ParameterCounts:
    """Count a module's parameters."""
    parameters = list(module.parameters())
    return ParameterCounts(
        all=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
    )
