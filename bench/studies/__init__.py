"""The studies, by name."""

from bench.presentation import ANOMALY, Presentation
from bench.record import Record
from bench.studies.anomaly_zoo.study import ANOMALY_ZOO
from bench.studies.mixing.study import CLASSIFIERS, MIXING
from bench.studies.rd_backbone.study import RD_BACKBONE

STUDIES = {study.name: study for study in (RD_BACKBONE, ANOMALY_ZOO, MIXING, CLASSIFIERS)}


def presentation_of(record: Record) -> Presentation:
    """How a record is ranked and shown; one of a study unknown here is shown as anomaly's."""
    study = STUDIES.get(record.case["study"])
    return study.presentation if study else ANOMALY
