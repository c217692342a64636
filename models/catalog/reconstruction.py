"""Models that reconstruct the image itself: the autoencoder."""

from dataclasses import replace
from types import MappingProxyType

from models.catalog.entry import ZOO_SEED, ModelEntry, Recipe

_AUTOENCODER = Recipe(
    optimizer="adam",
    lr=1e-3,
    epochs=50,
    batch_size=16,
    loss="mse",
    source="own proposal, as the original study's: Adam, latent 128",
)
_AUTOENCODER_LONG = replace(_AUTOENCODER, epochs=200, source="own proposal, 200 passes")

RECONSTRUCTION_MODELS = (
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
