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
)
