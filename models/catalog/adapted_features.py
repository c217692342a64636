"""Models that adapt pretrained features with few layers: UniNet and SuperSimpleNet."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

from models.catalog.entry import ZOO_SEED, ModelEntry, Recipe

_UNINET = Recipe(
    optimizer="adamw",
    lr=5e-3,
    weight_decay=1e-5,
    epochs=20,
    batch_size=4,
    source="Wei et al., CVPR 2025 and their code; epochs and batch as the original study",
)
_UNINET_PAPER = replace(
    _UNINET, epochs=100, batch_size=8, source="Wei et al., CVPR 2025 and their code"
)
_SUPERSIMPLENET = Recipe(
    optimizer="adamw",
    lr=2e-4,
    weight_decay=1e-5,
    epochs=50,
    batch_size=16,
    source="Rolih et al., ICPR 2024; epochs and batch as the original study",
)
_SUPERSIMPLENET_PAPER = replace(
    _SUPERSIMPLENET, epochs=300, batch_size=32, source="Rolih et al., ICPR 2024"
)


def _uninet(name: str, weights: str, recipe: Recipe, paper: Recipe, **options: Any) -> ModelEntry:
    return ModelEntry(
        name=name,
        family="foundation",
        build="models.uninet.model:build",
        weights=weights,
        options=options,
        layers=(1, 2, 3),
        recipes=MappingProxyType({"baseline": recipe}),
        seed_base=ZOO_SEED,
        paper_recipe=paper,
    )


def _supersimplenet(name: str, weights: str, **options: Any) -> ModelEntry:
    return ModelEntry(
        name=name,
        family="foundation",
        build="models.supersimplenet.model:build",
        weights=weights,
        options=options,
        layers=(2, 3),
        recipes=MappingProxyType({"baseline": _SUPERSIMPLENET}),
        seed_base=ZOO_SEED,
        paper_recipe=_SUPERSIMPLENET_PAPER,
    )


# The models over ResNet18 are no published configurations: they run where the smallest weights are.
UNINET_MODELS = (
    _uninet("uninet", "wide_resnet50_2.tv_in1k", _UNINET, _UNINET_PAPER),
    _uninet("uninet_resnet18", "resnet18.tv_in1k", _UNINET, _UNINET_PAPER),
)
SUPERSIMPLENET_MODELS = (
    _supersimplenet("supersimplenet", "wide_resnet50_2.tv_in1k"),
    _supersimplenet("supersimplenet_resnet18", "resnet18.tv_in1k"),
)
ADAPTED_FEATURE_MODELS = (*UNINET_MODELS, *SUPERSIMPLENET_MODELS)
