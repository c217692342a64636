"""Counts that do not depend on the machine: floating-point operations and parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


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
    # torch's counter does not know the CPU's fused attention and would count it as nothing.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def numbers_kept(checkpoint: Mapping[str, Any]) -> int:
    """Return how many numbers a checkpoint holds: parameters and buffers, without frozen parts.

    Parameters alone flatter a model that remembers: PaDiM has none of its own and keeps a
    covariance for each position.
    """
    return sum(value.numel() for value in checkpoint.values() if isinstance(value, Tensor))


def parameter_counts(module: nn.Module) -> ParameterCounts:
    """Count a module's parameters."""
    parameters = list(module.parameters())
    return ParameterCounts(
        all=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
    )
