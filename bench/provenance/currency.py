"""Whether a finished record is still valid for what would run now, and if not, why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.environment import LIBRARIES_ADDED
from bench.provenance.fingerprint import Fingerprint
from bench.record import Record
from bench.study import task_of

_SHOWN = 3
_UNKNOWN = "unknown"
_NAMES = {
    "cpu": "processor",
    "torch": "torch",
    "gpu": "GPU",
    "driver": "driver",
    "cuda": "CUDA",
    "cudnn": "cuDNN",
    "cores": "number of processors",
    "threads_set": "number of threads (OMP_NUM_THREADS)",
}
_ASKED = {
    "measurements": "measurements",
    "pictures": "pictures",
    "models": "saved model",
    "panels": "panels",
    "maps": "kept maps",
    "exact": "exact pixel metrics",
}
_NO_MAPS = "the model gives no maps"
_BINNED = "histogram"


@dataclass(frozen=True)
class Wanted:
    """What a record must match to be valid for a case.

    Attributes:
        code: Fingerprint of the case's code.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        machine: What `bench.environment.expected` returns.
        asked: Which optional parts are wanted, as in `Record.asked`.
        recipe: The recipe's values as JSON holds them, defaults included: the hash of a protocol
            leaves these out, so that a changed default changes no key.
    """

    code: Fingerprint
    device: str
    machine: Mapping[str, Any]
    asked: Mapping[str, bool]
    recipe: Mapping[str, Any] = field(default_factory=dict)


def why_stale(record: Record, wanted: Wanted, files: Mapping[str, str] | None = None) -> str | None:
    """Return why a finished record is not valid for a case, as clauses; None if it is.

    Args:
        record: A finished record of the case's key.
        wanted: What would run now.
        files: Hashes by file of the record's code, where they are known.
    """
    clauses = _code(record, wanted.code, files) + _recipe(record, wanted)
    clauses += _machine(record, wanted) + _asked(record, wanted)
    return "; ".join(clauses) or None


def origin(record: Record) -> str:
    """Return the commit that made a record, such as ``commit 1a2b3c4 with changes``."""
    commit = record.code.get("commit")
    if not commit:
        return f"an unknown commit of {record.finished[:10]}"
    return f"commit {commit[:7]}{' with changes' if record.code.get('dirty') else ''}"


def changed_files(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return the files that differ between two fingerprints, sorted.

    >>> changed_files({"a.py": "1", "b.py": "2"}, {"a.py": "1", "b.py": "3", "c.py": "4"})
    ['b.py', 'c.py']
    """
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def _code(record: Record, code: Fingerprint, files: Mapping[str, str] | None) -> list[str]:
    before = record.code.get("hash")
    if before == code.hash:
        return []
    if before is None:
        return ["its record does not say which code made it"]
    changed = changed_files(files, code.files) if files is not None else []
    if not changed:
        return [f"its code or catalog entry changed since {origin(record)}"]
    more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    return [f"{', '.join(changed[:_SHOWN])}{more} changed since {origin(record)}"]


def _recipe(record: Record, wanted: Wanted) -> list[str]:
    """Compare the values that both recipes have; a field that was added later has one of them."""
    before = record.protocol.get("recipe", {})
    return [
        f"its recipe's {name} was {before[name]}, now {value}"
        for name, value in wanted.recipe.items()
        if name != "source" and name in before and before[name] != value
    ]


def _machine(record: Record, wanted: Wanted) -> list[str]:
    before = record.environment
    kinds = [str(name).partition(":")[0] for name in (before.get("device"), wanted.device)]
    if kinds[0] != kinds[1]:
        return [f"it ran on {kinds[0]}, not on {kinds[1]}"]
    return [
        f"its {_NAMES.get(name, name)} was {found}, now {value}"
        for name, value in wanted.machine.items()
        if not _same(name, found := before.get(name, _UNKNOWN), value)
    ]


def _same(name: str, before: Any, now: Any) -> bool:
    if name in LIBRARIES_ADDED and before == _UNKNOWN:  # made before records named the library
        return True
    if name == "torch":
        before = str(before).partition("+")[0]
    if name == "gpu":  # torch names the slice of a divided GPU, the driver the whole one
        before, now = (str(value).partition(" MIG ")[0] for value in (before, now))
    if name == "driver":  # the last part is a patch level
        before = ".".join(str(before).split(".")[:2])
    return bool(before == now)


def _asked(record: Record, wanted: Wanted) -> list[str]:
    lacking = [_ASKED[name] for name, want in wanted.asked.items() if want and _lacks(record, name)]
    return [f"it has no {' and no '.join(lacking)}"] if lacking else []


def _lacks(record: Record, name: str) -> bool:
    """Return whether a record lacks an optional part that another run would add."""
    if name == "exact":  # where memory alone forced bins, it would force them again
        return record.asked.get(name) is False and _is_binned(record)
    if record.asked.get(name) or name in record.artifacts:  # maps below the limit are always kept
        return False
    if name == "panels":
        return task_of(record) == "anomaly"
    return name != "maps" or _gives_maps(record)


def _is_binned(record: Record) -> bool:
    """Return whether some pixel metrics were computed by bins."""
    return any(_BINNED in note for note in record.notes.values())


def _gives_maps(record: Record) -> bool:
    """Return whether some head of a record's model gives maps."""
    return task_of(record) == "anomaly" and any(
        record.reasons.get(f"{head}.pixel_auroc") != _NO_MAPS for head in record.metrics
    )
