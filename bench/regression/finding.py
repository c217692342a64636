"""The result of a comparison or a confirmation for one quantity of one configuration."""

import math
from dataclasses import dataclass

from bench.regression.outcomes import Outcome
from bench.regression.series import Quantity

FIXED = "no randomness"

THROTTLED = "thermal throttling"

FINISHES = "finishes"
"""Quantity of a case that finished before but no longer does."""


@dataclass(frozen=True)
class Finding:
    """The result of a comparison for one quantity of one configuration.

    Attributes:
        configuration: Case id without its replicate.
        quantity: Name of the quantity.
        outcome: The outcome; ``suspect`` requires a confirmation.
        base: Level of the baseline, as recorded.
        tonight: Level tonight; NaN if no run has a value.
        loss: How much worse tonight is, as `Quantity.loss` returns it; NaN without a value.
        p: One-sided p value of no loss; NaN if there is no test.
        low: Lower end of the loss's interval; NaN if there is none.
        high: Upper end.
        mde: Smallest loss that would be detected; infinite if none would, NaN if not computed.
        method: How it was found.
        base_commit: Commit of the baseline's code that fresh runs compared it with; None if none
            did.
    """

    configuration: str
    quantity: str
    outcome: Outcome
    base: float
    tonight: float
    loss: float
    p: float = math.nan
    low: float = math.nan
    high: float = math.nan
    mde: float = math.nan
    method: str = ""
    base_commit: str | None = None

    def text(self) -> str:
        """Return one line: quantity, both levels, loss, interval and p."""
        quantity = Quantity(self.quantity)
        if self.quantity == FINISHES:
            return self.method
        if math.isnan(self.tonight):
            return f"{self.quantity} {quantity.text(self.base)} → none, {self.method}"
        parts = [
            f"{self.quantity} {quantity.text(self.base)} → {quantity.text(self.tonight)}",
            f"loss {quantity.loss_text(self.loss)}",
        ]
        if math.isfinite(self.low) and math.isfinite(self.high):
            parts[-1] += f" [{quantity.loss_text(self.low)}, {quantity.loss_text(self.high)}]"
        if math.isfinite(self.p):
            parts.append(f"p = {self.p:.2g}")
        return ", ".join(filter(None, [*parts, self.method]))
