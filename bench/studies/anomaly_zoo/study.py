"""Study 3: which anomaly-detection model for which part?"""

from bench.study import Study
from models.catalog.adaptation import ADAPTATION_MODELS
from models.catalog.images import IMAGE_MODELS
from models.catalog.memory import MEMORY_MODELS
from models.catalog.reverse_distillation import RD_MODELS

ANOMALY_ZOO = Study(
    name="anomaly_zoo",
    task="anomaly",
    about="Anomaly-detection models behind one interface",
    datasets=("mvtec", "visa", "btad", "surface"),
    models=tuple(
        entry.name for entry in (*MEMORY_MODELS, *ADAPTATION_MODELS, *IMAGE_MODELS, *RD_MODELS)
    ),
    table="zoo",
)
