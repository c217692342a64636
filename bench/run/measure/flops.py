"""Counts that do not depend on the machine: floating-point operations and parameters."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from bench.run.measure.flop_formulas import FORMULAS, UNCOUNTABLE
from models.components.nominal_flops import nominal_flops

_COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd


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
    attention, distances and factorizations count by formula, and steps that differ by device as
    declared through `models.components.nominal_flops`. Element-wise work, comparisons,
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
            formulas = FlopCounterMode(display=False, custom_mapping=mapping).flop_registry
            counter = _Counter(formulas)
            with nominal_flops(lambda: counter.total) as tally, counter:
                step()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    if unknown:
        raise UncountableFlopsError(
            f"no formula counts the operations of {', '.join(sorted(unknown))}"
        )
    return int(tally.total)


def numbers_kept(checkpoint: object) -> int:
    """Return how many numbers a checkpoint holds: parameters and buffers, without frozen parts.

    The number of parameters alone understates a memory-based model: PaDiM has none of its own and
    keeps a covariance for each position. Tensors count at any depth of dictionaries, lists and
    tuples: Reverse Distillation keeps a dictionary for each of its two networks.

    Example:
        >>> numbers_kept({"bn": {"weight": torch.zeros(2, 3)}, "sums": [torch.zeros(4)]})
        10
    """
    if isinstance(checkpoint, Tensor):
        return checkpoint.numel()
    if isinstance(checkpoint, Mapping):
        return sum(map(numbers_kept, checkpoint.values()))
    if isinstance(checkpoint, list | tuple):
        return sum(map(numbers_kept, checkpoint))
    return 0


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sums the operations of all calls of torch while it is entered.

    `FlopCounterMode` does this too, by module; but it imports torch's compiler, which takes a third
    of a short session's start, and in inference mode it fails where a parameter is the input of a
    module, as in FrEIA's blocks.

    Args:
        formulas: Formula by operation, as in `FlopCounterMode.flop_registry`.
    """

    def __init__(self, formulas: Mapping[Any, Callable[..., int]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._formulas = formulas
        self.total = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch imports its compiler, only to keep this class from being compiled

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), _COMPOSITE):
            with self:  # a composite operation counts as the sum of its parts
                # As `func.decompose`, but never in Python, whose decompositions import sympy.
                return func._op_dk(_COMPOSITE, *args, **kwargs)
        result = func(*args, **kwargs)
        if (formula := self._formulas.get(func._overloadpacket)) is not None:
            self.total += formula(*args, **kwargs, out_val=result)
        return result


def parameter_counts(module: nn.Module) -> ParameterCounts:
    """Count a module's parameters."""
    parameters = list(module.parameters())
    return ParameterCounts(
        all=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
    )
