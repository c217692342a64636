"""What finished records say about the next run of a case: how long it takes, and what changed."""

from statistics import median

from bench.case import Case
from bench.finished import Finished
from bench.provenance.currency import origin
from bench.record import Record
from bench.regression.baselines import changed_constants
from bench.run.job import Job

_UNKNOWN_SECONDS = 60.0


class EarlierRuns:
    """Facts from earlier runs: durations by case, model and overall, and other recipes or data.

    Args:
        finished: Finished records.
        profile: Profile whose durations count.
    """

    def __init__(self, finished: Finished, profile: str) -> None:
        self._keys: dict[tuple[str, str], Record] = {}
        by_model: dict[str, list[float]] = {}
        for record in finished.records():
            if record.key.profile == profile:
                by_model.setdefault(record.case.model, []).append(_seconds(record))
            self._keys[record.key.id, record.key.profile] = record
        self._models = {model: median(values) for model, values in by_model.items()}
        self._any = median(self._models.values()) if self._models else _UNKNOWN_SECONDS

    def seconds(self, case: Case, record: Record | None) -> float:
        """Return the expected seconds of a case, whose last record may be known."""
        return _seconds(record) if record else self._models.get(case.model, self._any)

    def knows(self, case: Case) -> bool:
        """Return whether a case's model has finished under the profile, on any images."""
        return case.model in self._models

    def other_key(self, job: Job) -> str:
        """Return what changed since a case finished with a different recipe, data or weights."""
        record = self._keys.get((job.key.id, job.key.profile))
        if record is None:
            return ""
        names = ("recipe", "data", "weights")
        changed = [name for name in names if getattr(record.key, name) != getattr(job.key, name)]
        recipes = record.protocol.get("recipe", {}), job.protocol.as_dict()["recipe"]
        constants = [] if "recipe" not in changed else changed_constants(*recipes)
        more = f" ({', '.join(constants)})" if constants else ""
        return f"its {' and '.join(changed)} changed since {origin(record)}{more}"


def _seconds(record: Record) -> float:
    return sum(record.timings.values())
