"""Models that reconstruct the image itself: autoencoder, GANomaly, DRAEM and DSR."""

from dataclasses import replace

from models.catalog.entry import ModelEntry, Recipe, zoo_entry

_AUTOENCODER = Recipe(
    optimizer="adam",
    lr=1e-3,
    epochs=50,
    batch_size=16,
    loss="mse",
    source="own proposal, as the original study's: Adam, latent 128",
)
_AUTOENCODER_LONG = replace(_AUTOENCODER, epochs=200, source="own proposal, 200 passes")

_GANOMALY = Recipe(
    optimizer="adam",
    lr=2e-4,
    betas=(0.5, 0.999),
    epochs=20,
    batch_size=8,
    source="Akcay et al., ACCV 2018; epochs and batch as the original study",
)
_GANOMALY_PAPER = replace(
    _GANOMALY, epochs=100, batch_size=64, source="Akcay et al., ACCV 2018; their code's batch"
)
_DRAEM = Recipe(
    optimizer="adam",
    lr=1e-4,
    schedule="milestones",
    milestones=(0.8, 0.9),
    gamma=0.2,
    epochs=10,
    batch_size=8,
    source="Zavrtanik et al., DRAEM, ICCV 2021; epochs as the original study",
)
_DRAEM_PAPER = replace(_DRAEM, epochs=700, source="Zavrtanik et al., DRAEM, ICCV 2021")
# Two thirds of the steps train detection, whose rate drops at 80 % of them. The upsampler, trained
# in the last third, has ten times the rate by `DSR.parameter_groups`, which undoes the drop.
_DSR = Recipe(
    optimizer="adam",
    lr=2e-4,
    schedule="milestones",
    milestones=(0.8 * 2 / 3,),
    gamma=0.1,
    epochs=50,
    batch_size=8,
    source="Zavrtanik et al., DSR, ECCV 2022; epochs as the original study",
)
_DSR_PAPER = replace(
    _DSR,
    images=1_200_000,
    source="Zavrtanik et al., DSR, ECCV 2022: 100 and 50 passes of 8,000 drawn images",
)


def _draem(name: str, *, sspcab: bool) -> ModelEntry:
    return zoo_entry(
        name,
        "reconstruction",
        "models.draem.model:build",
        weights=None,
        recipes={"baseline": _DRAEM},
        options={"sspcab": sspcab},
        standard_epochs=200,
        paper_recipe=_DRAEM_PAPER,
        auxiliary=("dtd",),
    )


RECONSTRUCTION_MODELS = (
    zoo_entry(
        "autoencoder",
        "reconstruction",
        "models.autoencoder:build",
        weights=None,
        recipes={
            "baseline": _AUTOENCODER,
            "ssim": replace(_AUTOENCODER, loss="mse_ssim", source="own proposal, MSE and SSIM"),
        },
        options={"latent": 128},
        standard_epochs=200,
        paper_recipe=_AUTOENCODER_LONG,
    ),
    zoo_entry(
        "ganomaly",
        "reconstruction",
        "models.ganomaly:build",
        weights=None,
        recipes={"baseline": _GANOMALY},
        options={"latent": 100, "width": 64},
        standard_epochs=100,
        paper_recipe=_GANOMALY_PAPER,
    ),
    _draem("draem", sspcab=True),
    _draem("draem_plain", sspcab=False),
    zoo_entry(
        "dsr",
        "reconstruction",
        "models.dsr.model:build",
        "dsr_vqvae.pretrained",
        {"baseline": _DSR},
        standard_epochs=100,
        paper_recipe=_DSR_PAPER,
    ),
)
