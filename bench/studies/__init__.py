"""The studies, by name; each is one registration."""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from bench.metrics.catalog import Metric, metric_named
from bench.record import Record
from bench.studies.anomaly_zoo.study import ANOMALY_ZOO
from bench.studies.mixing.study import CLASSIFIERS, MIXING
from bench.studies.rd_backbone.study import RD_BACKBONE
from bench.study import RANKING, Study, first_head, task_of

_STUDIES: dict[str, Study] = {}
STUDIES: Mapping[str, Study] = MappingProxyType(_STUDIES)


def register_study(study: Study) -> None:
    """Add a study.

    Raises:
        ValueError: Its name is taken, or is not made of ``[a-z0-9_]``.
    """
    if not re.fullmatch(r"[a-z0-9_]+", study.name):
        raise ValueError(f"study '{study.name}': wanted a name of the characters a-z, 0-9 and _")
    if study.name in _STUDIES:
        raise ValueError(f"study '{study.name}' is already registered; choose another name")
    _STUDIES[study.name] = study


for _study in (RD_BACKBONE, ANOMALY_ZOO, MIXING, CLASSIFIERS):
    register_study(_study)


def by_study(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Return records by name of study, sorted; a record appears in every study that selects it."""
    records = list(records)
    grouped = {name: [r for r in records if s.shows(r)] for name, s in STUDIES.items()}
    return {name: grouped[name] for name in sorted(grouped) if grouped[name]}


def ranking_of(record: Record) -> tuple[str, Metric]:
    """Return head and metric of the one number that represents a run.

    They are those that rank in the first study that shows it, as in the summary of a session.
    """
    for study in STUDIES.values():
        if study.shows(record):
            return study.heads_of(record)[0], study.ranking_metric
    return first_head(record), metric_named(RANKING[task_of(record)])
