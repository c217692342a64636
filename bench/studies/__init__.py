"""The studies, by name."""

from bench.record import Record
from bench.report.presentation import ANOMALY, Presentation
from bench.studies.anomaly_zoo import ANOMALY_ZOO
from bench.studies.mixing import CLASSIFIERS, MIXING
from bench.studies.rd_backbone import RD_BACKBONE

STUDIES = {study.name: study for study in (RD_BACKBONE, ANOMALY_ZOO, MIXING, CLASSIFIERS)}


def presentation_of(record: Record) -> Presentation:
    """How a record is ranked and shown; one of a study unknown here is shown as anomaly's."""
    study = STUDIES.get(record.case["study"])
    return study.presentation if study else ANOMALY
