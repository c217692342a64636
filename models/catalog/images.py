"""Models that see images, not a common backbone's features: EfficientAD and the autoencoder."""

from dataclasses import replace
from types import MappingProxyType

from models.catalog.entry import ModelEntry, Recipe
from models.catalog.memory import ZOO_SEED

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
_AUTOENCODER = Recipe(
    optimizer="adam",
    lr=1e-3,
    epochs=50,
    batch_size=16,
    loss="mse",
    source="own proposal, as the original study's: Adam, latent 128",
)
_AUTOENCODER_LONG = replace(_AUTOENCODER, epochs=200, source="own proposal, 200 passes")


def _efficientad(size: str) -> ModelEntry:
    return ModelEntry(
        name=f"efficientad_{size}",
        family="distillation",
        build="models.efficientad.model:build",
        weights=f"pdn_{size}.distilled",
        recipes=MappingProxyType({"baseline": _EFFICIENTAD}),
        options={"size": size},
        seed_base=ZOO_SEED,
        standard_images=10_000,
        paper_recipe=_EFFICIENTAD_PAPER,
        holds_out=True,
        auxiliary=("imagenette2",),
    )


IMAGE_MODELS = (
    _efficientad("small"),
    _efficientad("medium"),
    ModelEntry(
        name="autoencoder",
        family="reconstruction",
        build="models.autoencoder:build",
        weights=None,
        recipes=MappingProxyType(
            {
                "baseline": _AUTOENCODER,
                "ssim": replace(_AUTOENCODER, loss="mse_ssim", source="own proposal, MSE and SSIM"),
            }
        ),
        options={"latent": 128},
        seed_base=ZOO_SEED,
        paper_recipe=_AUTOENCODER_LONG,
    ),
)
