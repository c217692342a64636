"""The studies, by name."""

from bench.record import Record
from bench.report.presentation import ANOMALY, Presentation
from bench.studies.mixing import CLASSIFIERS, MIXING
from bench.studies.rd_backbone import RD_BACKBONE

STUDIES = {study.name: study for study in (RD_BACKBONE, MIXING, CLASSIFIERS)}


def presentation_of(record: Record) -> Presentation:
    """How a record is ranked and shown; one of a study unknown here is shown as anomaly's."""
    study = STUDIES.get(record.case["study"])
    return study.presentation if study else ANOMALY
