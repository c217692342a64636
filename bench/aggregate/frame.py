"""Records as one tidy frame, from which every row, table and file is derived.

Everything here is a function of the set of records; their order changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, total_ordering
from typing import TYPE_CHECKING, Any

from bench.aggregate.conditions import budget_share, changes_of
from bench.protocol import PROFILES
from bench.record import Record

if TYPE_CHECKING:
    from pandas import DataFrame

UNKNOWN_ENVIRONMENT = "unknown environment"

CONFIGURATION = ["variant", "augmentation", "init"]
"""Columns that a row of a table stands for; replicates are averaged over."""

MODE = ["multi_class", "shots"]
"""Columns of which two rows of one table never differ; ``shots`` is 0 where all images train."""

_VERSION = ["recipe_hash", "data_hash", "weights_hash"]
_KEY = ["id", "profile", *_VERSION]
_COLUMNS = [
    *_KEY,
    *(
        "environment",
        "dataset",
        "category",
        *CONFIGURATION,
        "replicate",
        "share",
        "unchanged",
        "record",
    ),
    *MODE,
]


@dataclass(frozen=True)
class ComparableRuns:
    """The finished records that may share a table.

    Attributes:
        profile: Profile, that is, budget; two profiles are never compared.
        environment: Class of machine the runs were made on.
        records: The newest record of each configuration and replicate.
        superseded: Number of other runs under another recipe, data or weights.
    """

    profile: str
    environment: str
    records: tuple[Record, ...]
    superseded: int


def tidy_frame(records: Iterable[Record]) -> "DataFrame":
    """Return one row per record, oldest first.

    Columns are the case's axes (``category`` is empty for a dataset without), the key's hashes,
    ``share`` of the recipe's own training budget, the ``record`` itself, a column ``HEAD.METRIC``
    for each metric and one for each measurement; speeds of a disturbed run are missing.

    Example:
        >>> tidy_frame([])[["dataset", "share"]].shape
        (0, 2)
    """
    import pandas

    lines = [_line(record) for record in sorted(records, key=recency_key)]
    frame = pandas.DataFrame(lines)
    return frame if lines else frame.reindex(columns=_COLUMNS)


def comparable_runs(records: Iterable[Record]) -> list[ComparableRuns]:
    """Group finished records by profile and class of environment, in the profiles' order.

    Only the newest record of a key counts, and only one version of a configuration (a recipe, data
    and weights): the catalog's recipe before one that a user changed, then that trained for the
    largest share of its budget, then the newest. So a quick look never hides a whole run, and
    replicates of two versions are never averaged.
    """
    frame = tidy_frame(record for record in records if record.status == "ok")
    frame["configuration"] = [record.case.configuration for record in frame.record]
    order = [*PROFILES, *sorted(set(frame.profile) - PROFILES.keys())]
    sections = []
    for profile in order:
        for environment, runs in frame[frame.profile == profile].groupby("environment"):
            newest = runs.drop_duplicates(_KEY, keep="last")
            # Stable: among equal shares the newest stays last.
            by_share = runs.sort_values("share", kind="stable", na_position="first")
            best_last = by_share.sort_values("unchanged", kind="stable")
            versions = best_last.groupby("configuration")[_VERSION].transform("last")
            current = newest[(newest[_VERSION] == versions.loc[newest.index]).all(axis=1)]
            chosen = tuple(current.sort_values("id").record)
            superseded = len(newest) - len(current)
            sections.append(ComparableRuns(profile, str(environment), chosen, superseded))
    return sections


def recency_key(record: Record) -> tuple[str, str, str, str, "_Content"]:
    """Return a key that sorts the oldest first and breaks ties in a fixed way."""
    return record.finished, record.started, record.key.id, record.status, _Content(record)


@total_ordering
class _Content:
    """What records of one case that ended at once are sorted by; made only for those."""

    def __init__(self, record: Record) -> None:
        self._record = record

    @cached_property
    def _text(self) -> str:
        return self._record.to_json()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Content) and self._text == other._text

    def __lt__(self, other: "_Content") -> bool:
        return self._text < other._text

    __hash__ = None  # type: ignore[assignment]


def _line(record: Record) -> dict[str, Any]:
    case, key = record.case, record.key
    line: dict[str, Any] = {
        "id": key.id,
        "profile": key.profile,
        "recipe_hash": key.recipe,
        "data_hash": key.data,
        "weights_hash": key.weights,
        "environment": str(record.environment.get("class") or UNKNOWN_ENVIRONMENT),
        "dataset": case.dataset,
        "category": case.category or "",
        "variant": case.variant,
        "augmentation": case.augmentation,
        "init": case.init,
        "replicate": case.replicate,
        "share": budget_share(record),
        "unchanged": not changes_of(record) and record.protocol.get("seed_base") is None,
        "multi_class": bool(record.categories),
        "shots": case.shots or 0,
        "record": record,
    }
    for head, values in record.metrics.items():
        line |= {f"{head}.{name}": value for name, value in values.items()}
    for name, value in record.measurements.items():
        timed = name.endswith(("_per_s", "_per_s_cached", "_ms", "_seconds"))
        line[name] = None if timed and record.disturbed else value
    return line
