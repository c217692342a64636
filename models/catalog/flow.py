"""Normalizing flows: CFlow, FastFlow, CS-Flow, U-Flow."""

from dataclasses import replace
from typing import Any

from models.catalog.entry import ModelEntry, Recipe, zoo_entry

# The paper's 2e-4 is for steps of 256 positions. A step here has 8,192 positions of the finest
# layer, 32 times as many: the rate grows by the square root of that, rounded. 15 steps of 1e-3
# give a loss of 1.17 on held-out normal images of magnetic tile, 26 steps of 2e-4 one of 1.73.
# Larger batches, such as the paper's 32, would give fewer steps for the same images.
_CFLOW = Recipe(
    optimizer="adam",
    lr=1e-3,
    epochs=250,
    batch_size=8,
    source="Gudovskiy et al., WACV 2022, at 5 times their rate, for steps of all positions; 250 "
    "passes and batch as the original study",
)
_CFLOW_PAPER = replace(
    _CFLOW,
    schedule="cosine",
    final_factor=1e-3,
    warmup_epochs=16,
    epochs=200,
    source="Gudovskiy et al., WACV 2022 and their code: 25 × 8 passes, cosine after a warm-up; at "
    "5 times their rate, for steps of all positions of 8 images",
)
_CFLOW_WITHOUT_LAST = replace(
    _CFLOW,
    options={"layers": (2, 3)},
    source="own proposal: without the coarsest of the paper's three layers",
)
_CSFLOW = Recipe(
    optimizer="adam",
    lr=2e-4,
    weight_decay=1e-5,
    eps=1e-4,
    epochs=500,
    batch_size=2,
    grad_clip=1.0,
    source="Rudolph et al., WACV 2022; 500 passes and batch as the original study",
)
_CSFLOW_PAPER = replace(
    _CSFLOW, epochs=240, batch_size=16, source="Rudolph et al., WACV 2022: 240 passes, batch 16"
)
# The official rates and batches vary by category: 1.1e-4 and 23 for MVTec AD's bottle, for example.
# The rate here is anomalib's.
_UFLOW = Recipe(
    optimizer="adam",
    lr=1e-3,
    weight_decay=1e-5,
    schedule="linear",
    final_factor=0.4,
    decay_steps=25_000,
    epochs=500,
    batch_size=8,
    source="Tailanian et al., 2024, at anomalib's rate; 500 passes and batch as the original study",
)
_UFLOW_PAPER = replace(
    _UFLOW,
    epochs=200,
    source="Tailanian et al., 2024: 200 passes and decay; one rate and batch for all categories, "
    "where theirs vary",
)
_FASTFLOW = Recipe(
    optimizer="adam",
    lr=1e-3,
    weight_decay=1e-5,
    epochs=500,
    batch_size=8,
    source="Yu et al., 2021; 500 passes and batch as the original study",
)
_FASTFLOW_PAPER = replace(_FASTFLOW, batch_size=32, source="Yu et al., 2021, batch 32")


def _cflow(name: str, weights: str) -> ModelEntry:
    return zoo_entry(
        name,
        "flow",
        "models.flows.cflow:build",
        weights,
        {"baseline": _CFLOW, "layers23": _CFLOW_WITHOUT_LAST},
        layers=(2, 3, 4),
        standard_epochs=100,
        paper_recipe=_CFLOW_PAPER,
    )


def _csflow(name: str, size: int) -> ModelEntry:
    return zoo_entry(
        name,
        "flow",
        "models.flows.csflow:build",
        "efficientnet_b5.tv_in1k",
        {"baseline": _CSFLOW},
        layers=(1, 2, 3),  # scales
        image_size=size,
        paper_recipe=_CSFLOW_PAPER,
    )


def _uflow(
    name: str, weights: str, layers: tuple[int, ...], batch: int = 8, size: int = 256
) -> ModelEntry:
    return zoo_entry(
        name,
        "flow",
        "models.flows.uflow:build",
        weights,
        {"baseline": replace(_UFLOW, batch_size=batch)},
        layers=layers,
        image_size=size,
        standard_epochs=100,
        paper_recipe=_UFLOW_PAPER,
        paper_input=(448, None),
    )


def _fastflow(
    name: str,
    weights: str,
    layers: tuple[int, ...],
    batch: int = 8,
    size: int = 256,
    **options: Any,
) -> ModelEntry:
    recipes = {"baseline": replace(_FASTFLOW, batch_size=batch)}
    if batch == 8:  # a CNN
        recipes["reimplementation"] = replace(
            _FASTFLOW,
            options={"count_norms": False},
            source="public reimplementations, whose loss leaves out the norms' log-determinant",
        )
    return zoo_entry(
        name,
        "flow",
        "models.flows.fastflow:build",
        weights,
        recipes,
        layers=layers,
        options={"layers": layers, **options},
        image_size=size,
        standard_epochs=100,
        paper_recipe=_FASTFLOW_PAPER,
    )


_TRANSFORMER: dict[str, Any] = {"steps": 20, "hidden_ratio": 0.16}

CFLOW_MODELS = (
    _cflow("cflow", "wide_resnet50_2.tv_in1k"),
    _cflow("cflow_resnet18", "resnet18.tv_in1k"),
    _cflow("cflow_resnet50", "resnet50.tv_in1k"),
)
CSFLOW_MODELS = (_csflow("csflow", 256), _csflow("csflow_768", 768))
UFLOW_MODELS = (
    _uflow("uflow", "wide_resnet50_2.tv_in1k", (1, 2, 3)),
    _uflow("uflow_resnet50", "resnet50.tv_in1k", (1, 2, 3)),
    _uflow("uflow_mcait", "mcait.fb_dist_in1k", (1, 2), 4, 448),
)
FASTFLOW_MODELS = (
    _fastflow("fastflow", "wide_resnet50_2.tv_in1k", (1, 2, 3)),
    _fastflow("fastflow_resnet18", "resnet18.tv_in1k", (1, 2, 3), only_3x3=True),
    _fastflow("fastflow_resnet50", "resnet50.tv_in1k", (1, 2, 3)),
    # The paper counts blocks from 0: the 41st of 48, the 8th of 12.
    _fastflow("fastflow_cait", "cait_m48_448.fb_dist_in1k", (40,), 2, 448, **_TRANSFORMER),
    _fastflow(
        "fastflow_deit", "deit_base_distilled_patch16_384.fb_in1k", (7,), 2, 384, **_TRANSFORMER
    ),
)
FLOW_MODELS = (*CFLOW_MODELS, *FASTFLOW_MODELS, *CSFLOW_MODELS, *UFLOW_MODELS)
