"""Study 1: does a ConvNeXt teacher beat a ResNet teacher when nothing else differs?"""

from bench.study import Study

RD_BACKBONE = Study(
    name="rd_backbone",
    task="anomaly",
    about="Reverse Distillation: does a ConvNeXt teacher beat a ResNet teacher?",
    datasets=("mvtec", "surface"),
    models=(
        "rd_resnet18",
        "rd_resnet50",
        "rd_wide_resnet50_2",
        "rd_convnext",
        "rd_convnext_cnblock",
        "rd_convnext_adapted",
    ),
    heads=("single_scale", "multi_scale"),
    columns=(
        *("accuracy", "precision", "recall", "f1", "false_alarms"),
        *("image_auroc", "image_ap", "pixel_auroc", "pixel_ap", "aupro_30"),
        *("accuracy_best_f1", "precision_best_f1", "recall_best_f1", "f1_best"),
    ),
    layout=("accuracy", "precision", "recall", "f1", "image_auroc"),
    layout_note=(
        "Columns and order of the original study. Its F1-Score is F1, its ROC-AUC is Image AUROC; "
        "its threshold was chosen on the test images, which the details show as test-chosen."
    ),
    answer="bench.studies.rd_backbone.verdict:answer",
    report="bench.studies.rd_backbone.verdict:report",
    references="bench.studies.rd_backbone.references:published",
)
