"""The nominal floating-point operations of a step that is computed in different ways.

A search for nearest neighbors, for example, skips most distances on a CPU and computes all of them
on a GPU. So that counts compare algorithms and not machines, such a step declares the operations of
the plain algorithm; a multiply-add is two.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class NominalFlops:
    """Counted operations, where those of declared blocks are replaced by what the blocks declare.

    Args:
        counted: Returns the operations counted so far.

    Attributes:
        declared: Whether a declared block is running.
    """

    def __init__(self, counted: Callable[[], int]) -> None:
        self._counted = counted
        self._correction = 0
        self.declared = False

    @property
    def total(self) -> int:
        """Return the operations so far."""
        return self._counted() + self._correction

    @contextmanager
    def replace(self, flops: int) -> Iterator[None]:
        """Count a block as a number of operations, whatever is counted within it."""
        before, outer, self.declared = self.total, self.declared, True
        try:
            yield
        finally:
            self.declared = outer
            self._correction += before + flops - self.total


_active: ContextVar[NominalFlops | None] = ContextVar("nominal_flops", default=None)


@contextmanager
def counts_as(flops: int) -> Iterator[None]:
    """Declare the operations of a block; without effect unless operations are being counted."""
    active = _active.get()
    if active is None:
        yield
        return
    with active.replace(flops):
        yield


@contextmanager
def nominal_flops(counted: Callable[[], int]) -> Iterator[NominalFlops]:
    """Let `counts_as` correct a count until the block ends."""
    tally = NominalFlops(counted)
    token = _active.set(tally)
    try:
        yield tally
    finally:
        _active.reset(token)
