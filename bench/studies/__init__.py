"""The studies, by name."""

from bench.studies.mixing import CLASSIFIERS, MIXING
from bench.studies.rd_backbone import RD_BACKBONE

STUDIES = {study.name: study for study in (RD_BACKBONE, MIXING, CLASSIFIERS)}
