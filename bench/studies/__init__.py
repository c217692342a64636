"""The studies, by name."""

from bench.record import Record
from bench.studies.anomaly_zoo.study import ANOMALY_ZOO
from bench.studies.mixing.study import CLASSIFIERS, MIXING
from bench.studies.rd_backbone.study import RD_BACKBONE
from bench.table_spec import ANOMALY, TableSpec

STUDIES = {study.name: study for study in (RD_BACKBONE, ANOMALY_ZOO, MIXING, CLASSIFIERS)}


def table_spec_of(record: Record) -> TableSpec:
    """How a record is ranked and shown; one of a study unknown here is shown as anomaly's."""
    study = STUDIES.get(record.case.study)
    return study.table_spec if study else ANOMALY
