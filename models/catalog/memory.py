"""Models of normal features in memory: PaDiM, PatchCore, DFKDE."""

from dataclasses import replace
from typing import Any

from models.catalog.entry import ModelEntry, Recipe, zoo_entry

_PADIM = Recipe(
    optimizer="none",
    epochs=1,
    batch_size=4,
    source="Defard et al., ICPR 2021 workshops; batch and 256 px as the original study",
)
_PATCHCORE = Recipe(
    optimizer="none",
    epochs=1,
    batch_size=8,
    source="Roth et al., CVPR 2022, with its exact greedy coreset",
)
_DFKDE = Recipe(
    optimizer="none",
    epochs=1,
    batch_size=8,
    source="no paper of its own; as anomalib describes it",
)


def _padim(name: str, weights: str, channels: int) -> ModelEntry:
    return zoo_entry(
        name,
        "memory",
        "models.padim:build",
        weights,
        {"baseline": _PADIM},
        layers=(1, 2, 3),
        options={"channels": channels},
        paper_input=(256, 224),
    )


# What anomalib's published figures were made with: raw features, scores re-weighted by nine
# neighbors, maps enlarged by repeating pixels.
_AS_ANOMALIB = {
    "embedding": "concatenated",
    "projection": "sparse",
    "neighbors": 9,
    "upsampling": "nearest",
}


def _patchcore(name: str, weights: str, **fields: Any) -> ModelEntry:
    recipes = {
        "baseline": _PATCHCORE,
        "anomalib": replace(
            _PATCHCORE, options=_AS_ANOMALIB, source="anomalib 2.7's PatchCore, for its figures"
        ),
        "approximate": replace(
            _PATCHCORE,
            options={"coreset": "approximate"},
            source="Roth et al.'s official code: greedy from ten random starts",
        ),
    }
    build = "models.patchcore.model:build"
    return zoo_entry(name, "memory", build, weights, recipes, layers=(2, 3), **fields)


def _dfkde(name: str, weights: str) -> ModelEntry:
    # Random only beyond 40,000 training images, of which a subset is drawn.
    return zoo_entry(
        name,
        "memory",
        "models.dfkde:build",
        weights,
        {"baseline": _DFKDE},
        layers=(4,),
        randomness="none",
    )


_PAPER_CROP: dict[str, Any] = {"paper_input": (256, 224)}

MEMORY_MODELS = (
    _padim("padim", "wide_resnet50_2.tv_in1k", 550),
    _padim("padim_resnet18", "resnet18.tv_in1k", 100),
    _patchcore("patchcore", "wide_resnet50_2.tv_in1k", options={"ratio": 0.1}, **_PAPER_CROP),
    _patchcore("patchcore_resnet18", "resnet18.tv_in1k", options={"ratio": 0.1}, **_PAPER_CROP),
    _patchcore(
        "patchcore_320",
        "wide_resnet50_2.tv_in1k",
        options={"ratio": 0.01},
        image_size=366,
        crop=320,
    ),
    _dfkde("dfkde", "resnet50.tv_in1k"),
    _dfkde("dfkde_resnet18", "resnet18.tv_in1k"),
)
