"""What ``python -m bench predict`` says at its end: counts, where pictures are, what is next."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

_MAX_TIMES = 1000  # a stream may never end


class PredictSummary:
    """Counts the lines of predictions."""

    def __init__(self) -> None:
        self._labels: Counter[str] = Counter()
        self._times: list[float] = []
        self.count = self.failed = 0

    def add(self, line: dict[str, Any]) -> None:
        """Count a line."""
        self.count += 1
        if "error" in line:
            self.failed += 1
            return
        if line["label"] is not None:
            self._labels[line["label"]] += 1
        if len(self._times) < _MAX_TIMES:
            self._times.append(line["ms"])

    def lines(self) -> Iterator[str]:
        """Yield what the counts say."""
        if self._times:
            counts = ", ".join(f"{count} {name}" for name, count in self._labels.most_common(5))
            yield (
                f"{self.count} image{'s' if self.count > 1 else ''}: {counts or 'no labels'}; "
                f"{median(self._times):.0f} ms each"
            )
        if self.failed:
            yield f"{self.failed} of {self.count} images could not be predicted"


def what_next(maps: Path | None, *, drawn: bool, export: str) -> Iterator[str]:
    """Yield where the pictures are, and what else the model can do.

    Args:
        maps: Folder of the pictures, where they were asked for.
        drawn: Whether the model gives maps.
        export: Command that exports the model; empty where none can.
    """
    if maps is not None:
        yield f"pictures in {maps}: heat maps, overlays, and scale.png, which explains the colors"
    elif drawn:
        yield "for pictures of where the defects are: --maps FOLDER"
    if export and maps is not None:
        yield f"for other programs: {export}"


def rough_threshold(held_out: int) -> Iterator[str]:
    """Yield what moves a threshold that comes from few held-out normal images.

    Args:
        held_out: Number of these images; 0 where there is no threshold.
    """
    from bench.predict.decision import MIN_HELD_OUT, how_to_move

    if 0 < held_out < MIN_HELD_OUT:
        images = f"{held_out} held-out image{'s' if held_out > 1 else ''}"
        yield (
            f"the threshold is set by {images}, fewer than {MIN_HELD_OUT}: "
            f"{how_to_move(held_out)} moves it"
        )
