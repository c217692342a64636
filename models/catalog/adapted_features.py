"""Models that adapt pretrained features with few layers: UniNet and SuperSimpleNet."""

from dataclasses import replace
from typing import Any

from models.catalog.entry import ModelEntry, Recipe, zoo_entry

_UNINET = Recipe(
    optimizer="adamw",
    lr=5e-3,
    weight_decay=1e-5,
    epochs=20,
    batch_size=4,
    source="Wei et al., CVPR 2025 and their code, without its exceptions for transistor and other "
    "categories; epochs and batch as the original study",
)
_UNINET_PAPER = replace(
    _UNINET,
    epochs=100,
    batch_size=8,
    source="Wei et al., CVPR 2025 and their code, without its exceptions for transistor and other "
    "categories",
)
# One model for many categories: 5,000 steps of 8 images. On MVTec AD the official code freezes all
# BatchNorm statistics after its first evaluation, at step 1,000; that is not done here.
_UNINET_MULTICLASS = replace(
    _UNINET_PAPER,
    eps=1e-10,
    amsgrad=True,
    schedule="milestones",
    milestones=(0.8,),
    gamma=0.2,
    images=40_000,
    source="Wei et al., CVPR 2025 and their code, for all classes of MVTec AD",
)
_SUPERSIMPLENET = Recipe(
    optimizer="adamw",
    lr=2e-4,
    weight_decay=1e-5,
    schedule="milestones",
    milestones=(0.8, 0.9),
    gamma=0.4,
    epochs=50,
    batch_size=16,
    source="Rolih et al., ICPR 2024; epochs and batch as the original study",
)
_SUPERSIMPLENET_PAPER = replace(
    _SUPERSIMPLENET, epochs=300, batch_size=32, source="Rolih et al., ICPR 2024"
)
_SUPERSIMPLENET_VISA = replace(
    _SUPERSIMPLENET,
    options={"threshold": 0.6},
    source="Rolih et al., ICPR 2024: noise at fewer positions, as on VisA",
)
_SUPERVISED = replace(
    _SUPERSIMPLENET,
    grad_clip=1.0,
    source="Rolih et al., ICPR 2024, with labels; each image as often, where theirs balances",
)
_SUPERVISED_PAPER = replace(_SUPERVISED, epochs=300, batch_size=32)


def _uninet(name: str, weights: str, recipe: Recipe, paper: Recipe, **options: Any) -> ModelEntry:
    return zoo_entry(
        name,
        "foundation",
        "models.uninet.model:build",
        weights,
        {"baseline": recipe},
        options=options,
        layers=(1, 2, 3),
        standard_epochs=50,
        paper_recipe=paper,
    )


def _supersimplenet(
    name: str, weights: str, *, supervised: bool = False, threshold: float = 0.2
) -> ModelEntry:
    recipes = {"baseline": _SUPERVISED if supervised else _SUPERSIMPLENET}
    if not supervised:
        # Not named after VisA: `-k visa` would select it on every dataset.
        recipes["threshold06"] = _SUPERSIMPLENET_VISA
    return zoo_entry(
        name,
        "foundation",
        "models.supersimplenet.model:build",
        weights,
        recipes,
        options={"supervised": supervised, "threshold": threshold},
        layers=(2, 3),
        standard_epochs=100,
        paper_recipe=_SUPERVISED_PAPER if supervised else _SUPERSIMPLENET_PAPER,
        supervised=supervised,
    )


# The models over ResNet18 are not published configurations: they only need the smallest weights.
_WIDE = "wide_resnet50_2.tv_in1k"
UNINET_MODELS = (
    _uninet("uninet", _WIDE, _UNINET, _UNINET_PAPER),
    _uninet("uninet_multiclass", _WIDE, _UNINET_MULTICLASS, _UNINET_MULTICLASS, temperature=0.1),
    _uninet("uninet_resnet18", "resnet18.tv_in1k", _UNINET, _UNINET_PAPER),
)
SUPERSIMPLENET_MODELS = (
    _supersimplenet("supersimplenet", _WIDE),
    _supersimplenet("supersimplenet_supervised", _WIDE, supervised=True, threshold=0.6),
    _supersimplenet("supersimplenet_resnet18", "resnet18.tv_in1k"),
    _supersimplenet(
        "supersimplenet_supervised_resnet18", "resnet18.tv_in1k", supervised=True, threshold=0.6
    ),
)
ADAPTED_FEATURE_MODELS = (*UNINET_MODELS, *SUPERSIMPLENET_MODELS)
