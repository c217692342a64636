"""Models that adapt or model a backbone's features: DFM, CFA, and FRE and STFPM that learn them."""

from dataclasses import replace
from types import MappingProxyType

from models.catalog.entry import ModelEntry, Recipe
from models.catalog.memory import ZOO_SEED

_DFM = Recipe(
    optimizer="none", epochs=1, batch_size=16, source="Ahuja et al., 2019; 97 % of the variance"
)
_CFA = Recipe(
    optimizer="adamw",
    lr=1e-3,
    weight_decay=5e-4,
    amsgrad=True,
    epochs=20,
    batch_size=16,
    source="Lee et al., IEEE Access 2022; epochs, batch and 256 px as the original study",
)
_CFA_PAPER = replace(_CFA, epochs=30, batch_size=4, source="Lee et al., IEEE Access 2022")
_STFPM = Recipe(
    optimizer="sgd",
    lr=0.4,
    betas=(0.9, 0.999),
    weight_decay=1e-4,
    epochs=50,
    batch_size=16,
    source="Wang et al., BMVC 2021; epochs and batch as the original study",
)
_STFPM_PAPER = replace(_STFPM, epochs=100, batch_size=32, source="Wang et al., BMVC 2021")
_FRE = Recipe(
    optimizer="adam",
    lr=1e-3,
    epochs=50,
    batch_size=16,
    source="Ndiour et al., FRE, 2022; epochs and batch as the original study",
)
_FRE_PAPER = replace(_FRE, epochs=220, source="Ndiour et al., FRE, 2022")


def _dfm(name: str, weights: str, score: str) -> ModelEntry:
    return ModelEntry(
        name=name,
        family="adaptation",
        build="models.dfm:build",
        weights=weights,
        layers=(3,),
        recipes=MappingProxyType({"baseline": _DFM}),
        options={"score": score},
        seed_base=ZOO_SEED,
    )


def _cfa(name: str, weights: str) -> ModelEntry:
    return ModelEntry(
        name=name,
        family="adaptation",
        build="models.cfa:build",
        weights=weights,
        layers=(1, 2, 3),
        recipes=MappingProxyType({"baseline": _CFA}),
        seed_base=ZOO_SEED,
        standard_epochs=20,
        paper_recipe=_CFA_PAPER,
        paper_input=(224, None),
    )


def _stfpm(name: str, weights: str) -> ModelEntry:
    return ModelEntry(
        name=name,
        family="distillation",
        build="models.stfpm:build",
        weights=weights,
        layers=(1, 2, 3),
        recipes=MappingProxyType({"baseline": _STFPM}),
        seed_base=ZOO_SEED,
        paper_recipe=_STFPM_PAPER,
    )


def _fre(name: str, weights: str) -> ModelEntry:
    return ModelEntry(
        name=name,
        family="distillation",
        build="models.fre:build",
        weights=weights,
        layers=(3,),
        recipes=MappingProxyType({"baseline": _FRE}),
        seed_base=ZOO_SEED,
        paper_recipe=_FRE_PAPER,
    )


# The last of each is no published configuration: it runs where the smallest weights are.
ADAPTATION_MODELS = (
    _dfm("dfm", "resnet50.tv_in1k", "fre"),
    _dfm("dfm_nll", "resnet50.tv_in1k", "nll"),
    _dfm("dfm_resnet18", "resnet18.tv_in1k", "fre"),
    _cfa("cfa", "wide_resnet50_2.tv_in1k"),
    _cfa("cfa_resnet18", "resnet18.tv_in1k"),
    _stfpm("stfpm", "resnet50.tv_in1k"),
    _stfpm("stfpm_resnet18", "resnet18.tv_in1k"),
    _fre("fre", "resnet50.tv_in1k"),
    _fre("fre_wide_resnet50_2", "wide_resnet50_2.tv_in1k"),
    _fre("fre_resnet18", "resnet18.tv_in1k"),
)
