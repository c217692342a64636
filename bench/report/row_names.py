"""Names that distinguish the rows of a chart and are no longer than needed."""

from collections import Counter
from collections.abc import Sequence

from bench.aggregate.rows import Row


def distinct_names(rows: Sequence[Row]) -> list[str]:
    """Return each row's label, with its initialization where another row has the same label."""
    counts = Counter(row.label for row in rows)
    return [row.name if counts[row.label] > 1 else row.label for row in rows]
