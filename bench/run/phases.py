"""The phases of a case: announced when they begin, timed when they end."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.run.job import ProgressCallback


@dataclass
class Phases:
    """Announces phases and collects their seconds."""

    report: ProgressCallback
    seconds: dict[str, float] = field(default_factory=dict)

    def move(self, phase: str, other: str, seconds: float) -> None:
        """Count seconds of one phase as those of another, which ran within it."""
        self.seconds[phase] = round(self.seconds[phase] - seconds, 4)
        self.seconds[other] = round(self.seconds.get(other, 0.0) + seconds, 4)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time one phase."""
        self.report(name, {})
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = round(time.perf_counter() - start, 4)
