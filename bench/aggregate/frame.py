"""Records as tidy lines, from which every row, table and file is derived.

Everything here is a function of the set of records; their order changes nothing.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, total_ordering
from typing import Any

from bench.aggregate.conditions import (
    budget_share,
    changes_of,
    has_default_shape,
    has_procedural_textures,
    textures_of,
)
from bench.aggregate.modes import is_supervised
from bench.protocol import PROFILES
from bench.record import Record

Line = Mapping[str, Any]
"""A record's values by column; see `lines_of`."""

Quality = tuple[bool, float, bool]
"""See `run_quality`."""

UNKNOWN_ENVIRONMENT = "unknown environment"

CONFIGURATION = ("variant", "augmentation", "init")
"""Columns that identify a row of a table; replicates are averaged."""

MODE = ("multi_class", "shots", "supervised")
"""Columns that are equal in all rows of a table; ``shots`` is 0 where all images are used."""


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


def lines_of(records: Iterable[Record]) -> list[Line]:
    """Return one line per record, oldest first.

    Columns are the case's axes (``category`` is empty for a dataset without), the key's hashes,
    ``share`` of the recipe's own training budget, the ``record`` itself, a column ``HEAD.METRIC``
    for each metric and one for each measurement. Speeds of a disturbed run are missing, as are
    those of a run on the CPU with another number of threads or cores than most of the given ones
    with speeds.

    Example:
        >>> lines_of([])
        []
    """
    records = sorted(records, key=recency_key)
    counts = Counter(_threads(record) for record in records if _speeds(record))
    usual = max(counts, key=lambda threads: (counts[threads], threads), default=(0, 0))
    return [_line(record, timed=_threads(record) == usual) for record in records]


def _speeds(record: Record) -> list[str]:
    """Return the names of the measured times that an undisturbed run has."""
    names = [name for name, value in record.measurements.items() if value is not None]
    return [] if record.disturbed else [name for name in names if _is_timed(name)]


def _is_timed(name: str) -> bool:
    return name.endswith(("_per_s", "_per_s_cached", "_ms", "_seconds"))


def _threads(record: Record) -> tuple[int, int]:
    """Return the threads and cores of a run on the CPU; zeros on another device or if unknown."""
    environment = record.environment
    if environment.get("device", "cpu") != "cpu":
        return 0, 0
    return int(environment.get("threads") or 0), int(environment.get("cores") or 0)


def comparable_runs(records: Iterable[Record]) -> list[ComparableRuns]:
    """Group finished records by profile and class of environment, in the profiles' order.

    Only the newest record of a case counts, and only one version of a configuration (a recipe, data
    and weights): the catalog's recipe on images of the model's own size before one that a user
    changed, then that whose training was nearest to its whole budget, then one with real auxiliary
    pictures before one with procedural textures, then the newest. So a quick look never hides a
    whole run, and replicates of two versions are never averaged.
    """
    sections: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in sorted((r for r in records if r.status == "ok"), key=recency_key):
        sections[record.key.profile, _environment(record)].append(record)
    order = [*PROFILES, *sorted({profile for profile, _ in sections} - PROFILES.keys())]
    keys = sorted(sections, key=lambda key: (order.index(key[0]), key[1]))
    return [_comparable(*key, sections[key]) for key in keys]


def newest_runs(records: Iterable[Record]) -> dict[tuple[str, str, str], Record]:
    """Return each case's newest run on each machine, by profile, id and class of environment.

    A run without a class, such as one that crashed, has an empty one, and is left out once the case
    ran again on any machine.
    """
    newest: dict[tuple[str, str, str], Record] = {}
    for record in sorted(records, key=recency_key):
        case = record.key.profile, record.key.id
        newest.pop((*case, ""), None)
        newest[*case, str(record.environment.get("class") or "")] = record
    return newest


def _comparable(profile: str, environment: str, records: Sequence[Record]) -> ComparableRuns:
    """Choose among the finished records of one profile and environment, given oldest first."""
    newest = {record.key: record for record in records}
    best: dict[str, Quality] = {}
    versions: dict[str, tuple[str, str, str]] = {}
    for record in records:
        quality = run_quality(record)
        configuration = record.case.configuration
        # Among equals the newest wins.
        if configuration not in best or quality >= best[configuration]:
            best[configuration], versions[configuration] = quality, _version(record)
    # By id: a few-shot replicate may have chosen among more images since, as its key tells.
    current = {r.key.id: r for r in records if _version(r) == versions[r.case.configuration]}
    chosen = tuple(current[case_id] for case_id in sorted(current))
    return ComparableRuns(profile, environment, chosen, len(newest) - len(current))


def run_quality(record: Record) -> Quality:
    """Return a key by which the run that stands for its case is the largest; equals by age."""
    return (
        _is_unchanged(record) and has_default_shape(record),
        _nearness(record),
        not has_procedural_textures(record),
    )


def _nearness(record: Record) -> float:
    """Return how near a run's training was to its whole budget, at most 1; -1 if not recorded."""
    share = budget_share(record)
    return -1.0 if share is None else min(share, 1 / share) if share else 0.0


def _version(record: Record) -> tuple[str, str, str]:
    return record.key.recipe, record.shared_data, record.key.weights


def recency_key(record: Record) -> tuple[str, str, str, str, "_Content"]:
    """Return a key that sorts the oldest first and breaks ties in a fixed way."""
    return record.finished, record.started, record.key.id, record.status, _Content(record)


@total_ordering
class _Content:
    """Sort key of records of one case that ended at the same time; used only for those."""

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


def _environment(record: Record) -> str:
    return str(record.environment.get("class") or UNKNOWN_ENVIRONMENT)


def _is_unchanged(record: Record) -> bool:
    """Return whether a run used the catalog's recipe and seeds."""
    return not changes_of(record) and record.protocol.get("seed_base") is None


def _line(record: Record, *, timed: bool) -> Line:
    case, key = record.case, record.key
    line: dict[str, Any] = {
        "id": key.id,
        "profile": key.profile,
        "recipe_hash": key.recipe,
        "data_hash": key.data,
        "weights_hash": key.weights,
        "environment": _environment(record),
        "dataset": case.dataset,
        "category": case.category or "",
        "variant": case.variant,
        "augmentation": case.augmentation,
        "init": case.init,
        "replicate": case.replicate,
        "share": budget_share(record),
        "unchanged": _is_unchanged(record),
        "textures": textures_of(record),
        "multi_class": bool(record.categories),
        "shots": case.shots or 0,
        "supervised": is_supervised(record),
        "record": record,
    }
    for head, values in record.metrics.items():
        line |= {f"{head}.{name}": value for name, value in values.items()}
    speeds = _speeds(record) if timed else []
    for name, value in record.measurements.items():
        line[name] = value if name in speeds or not _is_timed(name) else None
    return line
