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
    layout=(
        *("image_auroc", "image_ap", "f1_best", "pixel_auroc", "pixel_ap", "aupro_30", "aupro_05"),
        *("fit_seconds", "inference_images_per_s", "latency_p50_ms"),
        *("inference_rise_device_bytes", "inference_rise_host_bytes", "parameters"),
    ),
    references="bench.studies.anomaly_zoo.references:published",
)
