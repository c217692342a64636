"""What a distillation is asked for, and what comes of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor


class DistillationError(Exception):
    """It cannot go on; the message says why and what to do."""


@dataclass(frozen=True)
class Plan:
    """What is distilled, which must be the same where a killed distillation is taken up.

    Attributes:
        size: Of the network, ``small`` or ``medium``.
        backbone: Tag and hash of what it is distilled from.
        layers: Of the backbone.
        images: What they are called, and how many.
        side: What the network sees of a picture, in pixels; the backbone sees twice as many.
        steps: Of the optimizer.
        batch: Pictures a step.
    """

    size: str
    backbone: str
    layers: tuple[int, ...]
    images: str
    side: int
    steps: int
    batch: int

    def plain(self) -> dict[str, Any]:
        """The same as a file keeps it."""
        return asdict(self) | {"layers": list(self.layers)}

    def differences(self, kept: Mapping[str, Any]) -> list[str]:
        """How a kept plan differs from this one, in words."""
        return [
            f"{name} was {kept.get(name)}, now {value}"
            for name, value in self.plain().items()
            if kept.get(name) != value
        ]


@dataclass(frozen=True)
class Distilled:
    """What came of it.

    Attributes:
        state: The network's tensors, on the CPU.
        first: Mean loss over the first hundredth of the steps.
        last: Over the last.
        held_out: Loss on pictures that were not trained on.
        trivial: What predicting each channel's mean would lose on them.
        resumed_at: Step it was taken up at; 0 for an unbroken one.
    """

    state: dict[str, Tensor]
    first: float
    last: float
    held_out: float
    trivial: float
    resumed_at: int

    @property
    def explained(self) -> float:
        """Share of the targets' variance on held-out pictures that the network explains."""
        return 1 - self.held_out / self.trivial
