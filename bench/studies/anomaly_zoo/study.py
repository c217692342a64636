"""Study 3: which anomaly-detection model for which part?"""

from bench.study import Study
from models.catalog.adaptation import ADAPTATION_MODELS
from models.catalog.distillation import (
    EFFICIENTAD_MODELS,
    FRE_MODELS,
    RD_MODELS,
    STFPM_MODELS,
)
from models.catalog.memory import MEMORY_MODELS
from models.catalog.reconstruction import RECONSTRUCTION_MODELS

ANOMALY_ZOO = Study(
    name="anomaly_zoo",
    task="anomaly",
    about="Anomaly-detection models behind one interface",
    datasets=("mvtec", "visa", "btad", "surface"),
    models=tuple(
        entry.name
        for entry in (
            *MEMORY_MODELS,
            *ADAPTATION_MODELS,
            *STFPM_MODELS,
            *FRE_MODELS,
            *EFFICIENTAD_MODELS,
            *RECONSTRUCTION_MODELS,
        )
    ),
    members=tuple(entry.name for entry in RD_MODELS),
    table="zoo",
)
