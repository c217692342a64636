"""Study 3: which anomaly-detection model for which part?"""

from bench.study import Study

ANOMALY_ZOO = Study(
    name="anomaly_zoo",
    task="anomaly",
    about="Anomaly-detection models behind one interface",
    datasets=("mvtec", "visa", "btad", "elpv", "surface"),
    models=None,
    columns=(
        *("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30"),
        *("accuracy", "f1", "false_alarms", "f1_best"),
    ),
    references="bench.studies.anomaly_zoo.references:published",
)
