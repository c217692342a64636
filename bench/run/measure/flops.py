"""Counts that do not depend on the machine: floating-point operations and parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from bench.run.measure.flop_formulas import FORMULAS, UNCOUNTABLE
from models.components.nominal_flops import nominal_flops


class UncountableFlopsError(Exception):
    """A step calls operations whose floating-point operations are not known."""


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

    The same number on every device: a multiply-add counts as two; matrix products, convolutions,
    attention, distances and factorizations count by formula, and what a model computes differently
    by device as it declares by `models.components.nominal_flops`. Element-wise work, comparisons,
    normalization, pooling and interpolation do not count, as in torch's own counter.

    Raises:
        UncountableFlopsError: An operation matters and has no formula; the message names it.
    """
    unknown: set[str] = set()

    def note(name: str) -> Callable[..., int]:
        def formula(*_: Any, **__: Any) -> int:
            if not tally.declared:
                unknown.add(name)
            return 0

        return formula

    mapping = {**FORMULAS, **{op: note(str(op)) for op in UNCOUNTABLE}}
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        # torch's counter does not know the CPU's fused attention and would count it as nothing.
        with sdpa_kernel(SDPBackend.MATH):
            counter = FlopCounterMode(display=False, custom_mapping=mapping)
            counter.mod_tracker = _NoModules()
            with nominal_flops(counter.get_total_flops) as tally, counter:
                step()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    if unknown:
        raise UncountableFlopsError(
            f"no formula counts the operations of {', '.join(sorted(unknown))}"
        )
    return int(tally.total)


def numbers_kept(checkpoint: Mapping[str, Any]) -> int:
    """Return how many numbers a checkpoint holds: parameters and buffers, without frozen parts.

    Parameters alone flatter a model that remembers: PaDiM has none of its own and keeps a
    covariance for each position.
    """
    return sum(value.numel() for value in checkpoint.values() if isinstance(value, Tensor))


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
