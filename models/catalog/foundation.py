"""Models on foundation features, or that learn from synthetic defects in features: Dinomaly."""

from dataclasses import replace

from models.catalog.entry import ModelEntry, Recipe, zoo_entry

# --- Dinomaly ---

_DINOMALY_PAPER = Recipe(
    optimizer="stable_adamw",
    lr=2e-3,
    weight_decay=1e-4,
    eps=1e-10,
    amsgrad=True,
    schedule="cosine",
    final_factor=0.1,
    warmup_steps=100,
    batch_size=16,
    images=80_000,
    grad_clip=0.1,
    source="Guo et al., CVPR 2025, appendix: 5,000 steps of 16 images for one category",
)
_MIDDLE_LAYERS = (2, 3, 4, 5, 6, 7, 8, 9)
_LARGE_LAYERS = (4, 6, 8, 10, 12, 14, 16, 18)
# Epochs and batch sizes of the original study, by image size and encoder.
_DINOMALY_EPOCHS = {224: 15, 392: 10, 448: 10}
_DINOMALY_BATCHES = {
    224: {"small": 32, "base": 16, "large": 8},
    392: {"small": 24, "base": 12, "large": 6},
    448: {"small": 16, "base": 8, "large": 4},
}
# The paper resizes and crops: its default is 392 of 448. The study's 224 and 448 are not cropped.
_DINOMALY_INPUTS = {224: (224, None), 392: (448, 392), 448: (448, None)}


def _dinomaly(encoder: str, side: int) -> ModelEntry:
    image_size, crop = _DINOMALY_INPUTS[side]
    baseline = replace(
        _DINOMALY_PAPER,
        images=None,
        epochs=_DINOMALY_EPOCHS[side],
        batch_size=_DINOMALY_BATCHES[side][encoder],
        source="Guo et al., CVPR 2025; epochs, batch and size as the original study",
    )
    return zoo_entry(
        f"dinomaly_{encoder}_{side}",
        "foundation",
        "models.dinomaly.model:build",
        f"vit_{encoder}_patch14_reg4_dinov2.lvd142m",
        _dinomaly_recipes(baseline),
        layers=_LARGE_LAYERS if encoder == "large" else _MIDDLE_LAYERS,
        image_size=image_size,
        crop=crop,
        standard_epochs=100,
        paper_recipe=_DINOMALY_PAPER,
        paper_multi_class_images=160_000,  # 10,000 steps of 16 images
        paper_input=(256, 224) if side == 224 else None,
    )


def _dinomaly_recipes(baseline: Recipe) -> dict[str, Recipe]:
    recentered = replace(
        baseline,
        options={"recentered": True},
        source="as baseline, with the context-aware recentering of Dinomaly2 (Guo et al., 2025)",
    )
    return {"baseline": baseline, "recentered": recentered}


# Not a published configuration: it only needs the smallest transformer's weights.
_DINOMALY_DEIT_TINY = zoo_entry(
    "dinomaly_deit_tiny",
    "foundation",
    "models.dinomaly.model:build",
    "deit_tiny_patch16_224.fb_in1k",
    _dinomaly_recipes(_DINOMALY_PAPER),
    layers=_MIDDLE_LAYERS,
    image_size=224,
)
DINOMALY_MODELS = (
    *(
        _dinomaly(encoder, side)
        for encoder in ("small", "base", "large")
        for side in (224, 392, 448)
    ),
    _DINOMALY_DEIT_TINY,
)

FOUNDATION_MODELS = DINOMALY_MODELS
