"""Study 2: which of ResNet50 and ViT-Small/16 gains from MixUp, and which from CutMix?"""

from bench.study import Study

_DATASETS = ("cifar100", "tiny_imagenet", "digits")
_COLUMNS = ("top1", "top5", "macro_recall", "macro_precision", "macro_f1", "top1_best_epoch")

MIXING = Study(
    name="mixing",
    task="classification",
    about="Which of ResNet50 and ViT-Small/16 gains from MixUp, and which from CutMix?",
    datasets=_DATASETS,
    models=("resnet50", "vit_small_patch16_224"),
    augmentations=("default", "mixup", "cutmix"),
    heads=("last_epoch",),
    columns=_COLUMNS,
    layout_note=(
        "Columns and order of the original study. Its Top-1 Acc is Top-1, its Top-5 Acc is "
        "Top-5; its Recall, Precision and F1-score are the macro averages."
    ),
    answer="bench.studies.mixing.report:answer",
    report="bench.studies.mixing.report:report",
    background="bench.studies.mixing.report:background",
    references="bench.studies.mixing.original:published",
)

CLASSIFIERS = Study(
    name="classifiers",
    task="classification",
    about="Other classifiers under the same protocol",
    datasets=_DATASETS,
    models=("resnet18", "deit_tiny_patch16_224"),
    augmentations=("default", "mixup", "cutmix"),
    heads=("last_epoch",),
    columns=_COLUMNS,
    report="bench.studies.mixing.report:report",
)
