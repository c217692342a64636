"""Study 3: which anomaly-detection model for which part?"""

from bench.study import Study
from models.catalog import MODELS

ANOMALY_ZOO = Study(
    name="anomaly_zoo",
    task="anomaly",
    about="Anomaly-detection models behind one interface",
    datasets=("mvtec", "visa", "btad", "surface"),
    models=tuple(name for name, entry in MODELS.items() if entry.task == "anomaly"),
    table="zoo",
)
