"""Models of a backbone's features, unchanged or adapted: DFM and CFA."""

from dataclasses import replace

from models.catalog.entry import ModelEntry, Recipe, zoo_entry

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


def _dfm(name: str, weights: str, score: str) -> ModelEntry:
    return zoo_entry(
        name,
        "adaptation",
        "models.dfm:build",
        weights,
        {"baseline": _DFM},
        layers=(3,),
        options={"score": score},
        randomness="none",
    )


def _cfa(name: str, weights: str) -> ModelEntry:
    return zoo_entry(
        name,
        "adaptation",
        "models.cfa:build",
        weights,
        {"baseline": _CFA},
        layers=(1, 2, 3),
        standard_epochs=30,
        paper_recipe=_CFA_PAPER,
        paper_input=(224, None),
    )


# The last of each is not a published configuration: it only needs the smallest weights.
ADAPTATION_MODELS = (
    _dfm("dfm", "resnet50.tv_in1k", "fre"),
    _dfm("dfm_nll", "resnet50.tv_in1k", "nll"),
    _dfm("dfm_resnet18", "resnet18.tv_in1k", "fre"),
    _cfa("cfa", "wide_resnet50_2.tv_in1k"),
    _cfa("cfa_resnet18", "resnet18.tv_in1k"),
)
