"""Random numbers that belong to samples, so that they do not depend on how samples are batched."""

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor


class Draws(Protocol):
    """The random numbers of a batch's samples.

    Those that the harness passes are the same for a sample in any batch and on any device, and
    repeat if drawn again: each purpose needs a name of its own.
    """

    def fold_in(self, name: str) -> "Draws":
        """Return independent numbers for one purpose."""

    def of(self, rows: Tensor) -> "Draws":
        """Return the numbers of some samples, given by their int64 rows in the batch."""

    def uniform(self, *shape: int) -> Tensor:
        """Draw float32 ``(B, *shape)``, uniform in [0, 1)."""

    def normal(self, *shape: int) -> Tensor:
        """Draw float32 ``(B, *shape)``, standard normal."""


@dataclass(frozen=True)
class GlobalDraws:
    """Random numbers from torch's global generator, for a model that is used without the harness.

    Attributes:
        count: Number of samples B.
        device: Where to draw.
    """

    count: int
    device: torch.device

    def fold_in(self, name: str) -> "GlobalDraws":
        """Return the same source: its numbers never repeat."""
        return self

    def of(self, rows: Tensor) -> "GlobalDraws":
        """Return a source for as many samples."""
        return replace(self, count=len(rows))

    def uniform(self, *shape: int) -> Tensor:
        """Draw float32 ``(B, *shape)``, uniform in [0, 1)."""
        return torch.rand(self.count, *shape, device=self.device)

    def normal(self, *shape: int) -> Tensor:
        """Draw float32 ``(B, *shape)``, standard normal."""
        return torch.randn(self.count, *shape, device=self.device)
