"""Students of a frozen teacher: STFPM, FRE, Reverse Distillation and EfficientAD."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

from models.catalog.entry import ModelEntry, Recipe, zoo_entry

_STFPM = Recipe(
    optimizer="sgd",
    lr=0.4,
    betas=(0.9, 0.999),
    weight_decay=1e-4,
    epochs=50,
    batch_size=16,
    source="Wang et al., BMVC 2021; epochs and batch as the original study",
)
_STFPM_PAPER = replace(
    _STFPM,
    epochs=100,
    batch_size=32,
    source="Wang et al., BMVC 2021; their code keeps the best pass",
)
_FRE = Recipe(
    optimizer="adam",
    lr=1e-3,
    epochs=50,
    batch_size=16,
    source="Ndiour et al., FRE, 2022; epochs and batch as the original study",
)
_FRE_PAPER = replace(_FRE, epochs=220, source="Ndiour et al., FRE, 2022")
_RD_RESNET = Recipe(
    optimizer="adam",
    lr=0.005,
    betas=(0.5, 0.999),
    epochs=50,
    batch_size=8,
    loss="flattened",
    source="the original study's ResNet recipe",
)
_RD_PAPER = replace(
    _RD_RESNET, epochs=200, batch_size=16, source="Deng and Li, CVPR 2022, section 4"
)
_RD_CONVNEXT = Recipe(
    optimizer="adamw",
    lr=1e-3,
    weight_decay=0.01,
    schedule="cosine",
    epochs=100,
    batch_size=8,
    grad_clip=1.0,
    loss="per_pixel",
    source="the original study's ConvNeXt recipe",
)
_RD_SAME = replace(_RD_CONVNEXT, source="one recipe for every teacher")
# Best of six by mean image AUROC over surface's four textures and both scoring heads, one seed:
# python -m bench tune rd_resnet18; records in results/baselines/tuning/.
_RD_TUNED = replace(_RD_SAME, lr=2e-3, loss="flattened", source="tuned on surface for rd_resnet18")
_RD_TUNED_ELSEWHERE = replace(
    _RD_TUNED, source="taken over from rd_resnet18: not tuned for this teacher, for want of weights"
)
_RD_CNBLOCK = replace(
    _RD_CONVNEXT, weight_decay=0.05, warmup_epochs=5.0, source="ConvNeXt-style AdamW with warm-up"
)
_LARGE_STUDENT_IMAGES = 600
"""Budget of the smoke profile for students of ResNet50's shape: the same for all, for comparison.

They take 13 to 16 GFLOP per image of 128 px, others 3 to 4. On two cores without AVX-512,
rd_convnext_adapted takes 110 s of the first command's 350 s with 600 images. From random weights
no such number makes it a model: its image AUROC on surface.woven (single scale) is 53 % with 600
images and 57 % with 800, its pixel AUROC 61 % and 72 %.
"""

_EFFICIENTAD = Recipe(
    optimizer="adam",
    lr=1e-4,
    weight_decay=1e-5,
    schedule="drop",
    epochs=20,
    batch_size=1,
    source="Batzner et al., WACV 2024; 20 passes as the original study",
)
_EFFICIENTAD_PAPER = replace(
    _EFFICIENTAD, images=70_000, source="Batzner et al., WACV 2024: 70,000 steps of one image"
)


def _stfpm(name: str, weights: str) -> ModelEntry:
    return zoo_entry(
        name,
        "distillation",
        "models.stfpm:build",
        weights,
        {"baseline": _STFPM},
        layers=(1, 2, 3),
        standard_epochs=100,
        paper_recipe=_STFPM_PAPER,
    )


def _fre(name: str, weights: str) -> ModelEntry:
    return zoo_entry(
        name,
        "distillation",
        "models.fre:build",
        weights,
        {"baseline": _FRE},
        layers=(3,),
        standard_epochs=220,
        paper_recipe=_FRE_PAPER,
    )


def _rd(
    name: str,
    weights: str,
    baseline: Recipe,
    tuned: Recipe,
    smoke_images: int | None = None,
    **options: Any,
) -> ModelEntry:
    other = "flattened" if baseline.loss == "per_pixel" else "per_pixel"
    # The adapted student is rd_resnet50 with another teacher: it has the same recipes everywhere.
    is_resnets = options.get("student", "resnet") in ("resnet", "convnext_adapted")
    return ModelEntry(
        name=name,
        family="distillation",
        build="models.reverse_distillation.model:build",
        weights=weights,
        options=options,
        layers=(1, 2, 3),
        heads=("multi_scale", "single_scale"),
        smoke_images=smoke_images,
        recipes=MappingProxyType(
            {
                "baseline": baseline,
                "same": _RD_SAME,
                "tuned": tuned,
                other: replace(baseline, loss=other),
            }
        ),
        paper_recipe=_RD_PAPER if is_resnets else None,
        tuned=tuned is _RD_TUNED,
        aliases=("reverse_distillation",) if name == "rd_wide_resnet50_2" else (),
        group="convnext" if weights.startswith("convnext") else "resnet",
    )


def _efficientad(size: str) -> ModelEntry:
    return zoo_entry(
        f"efficientad_{size}",
        "distillation",
        "models.efficientad.model:build",
        f"pdn_{size}.distilled",
        {"baseline": _EFFICIENTAD},
        options={"size": size},
        standard_epochs=100,
        paper_recipe=_EFFICIENTAD_PAPER,
        holds_out=True,
        auxiliary=("imagenette2",),
        auxiliary_fit="middle",
    )


# The last FRE is not a published configuration: it only needs the smallest weights.
STFPM_MODELS = (
    _stfpm("stfpm", "resnet50.tv_in1k"),
    _stfpm("stfpm_resnet18", "resnet18.tv_in1k"),
)
FRE_MODELS = (
    _fre("fre", "resnet50.tv_in1k"),
    _fre("fre_wide_resnet50_2", "wide_resnet50_2.tv_in1k"),
    _fre("fre_resnet18", "resnet18.tv_in1k"),
)
RD_MODELS = (
    _rd(
        "rd_resnet50",
        "resnet50.tv_in1k",
        _RD_RESNET,
        _RD_TUNED_ELSEWHERE,
        smoke_images=_LARGE_STUDENT_IMAGES,
    ),
    _rd(
        "rd_wide_resnet50_2",
        "wide_resnet50_2.tv_in1k",
        _RD_PAPER,
        _RD_TUNED_ELSEWHERE,
        smoke_images=_LARGE_STUDENT_IMAGES,
    ),
    _rd("rd_resnet18", "resnet18.tv_in1k", _RD_RESNET, _RD_TUNED),
    _rd(
        "rd_convnext",
        "convnext_tiny.tv_in1k",
        _RD_CONVNEXT,
        _RD_CNBLOCK,
        student="convnext",
    ),
    _rd(
        "rd_convnext_cnblock",
        "convnext_tiny.tv_in1k",
        _RD_CNBLOCK,
        _RD_CNBLOCK,
        student="convnext_cnblock",
    ),
    _rd(
        "rd_convnext_adapted",
        "convnext_tiny.tv_in1k",
        _RD_RESNET,
        _RD_TUNED_ELSEWHERE,
        smoke_images=_LARGE_STUDENT_IMAGES,
        student="convnext_adapted",
    ),
)
EFFICIENTAD_MODELS = (_efficientad("small"), _efficientad("medium"))
DISTILLATION_MODELS = (*STFPM_MODELS, *FRE_MODELS, *RD_MODELS, *EFFICIENTAD_MODELS)
