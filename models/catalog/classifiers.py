"""Image classifiers: study 2's two architectures, and others to join them."""

from dataclasses import replace
from types import MappingProxyType

from models.catalog.entry import ClassifierRecipe, ModelEntry

_SEED = ClassifierRecipe(
    optimizer="adam",
    lr=1e-3,
    schedule="cosine",
    epochs=50,
    batch_size=256,
    loss="cross_entropy",
    source="the original study; its base transform was never published, none is assumed",
)
_FLIP_CROP = replace(
    _SEED,
    base_transform="flip_crop",
    source="the original study, over random flips and crops of images padded by 4",
)
_MODERN_CNN = ClassifierRecipe(
    optimizer="sgd",
    lr=0.1,
    pretrained_lr=0.01,
    betas=(0.9, 0.999),
    weight_decay=5e-4,
    schedule="cosine",
    warmup_epochs=5.0,
    epochs=50,
    batch_size=256,
    loss="cross_entropy",
    base_transform="modern",
    label_smoothing=0.1,
    ema_decay=0.999,
    source="own constants, usual for CNNs on small images: SGD, momentum 0.9, weight decay 5e-4",
)
_MODERN_TRANSFORMER = ClassifierRecipe(
    optimizer="adamw",
    lr=2.5e-4,
    pretrained_lr=1e-4,
    weight_decay=0.05,
    schedule="cosine",
    warmup_epochs=5.0,
    epochs=50,
    batch_size=256,
    grad_clip=1.0,
    loss="cross_entropy",
    base_transform="modern",
    label_smoothing=0.1,
    ema_decay=0.999,
    source="own constants, after DeiT (Touvron et al., ICML 2021): its AdamW, learning rate "
    "5e-4 · batch / 512, weight decay (here of position embeddings too), warm-up and smoothing",
)


def _classifier(
    name: str, weights: str, modern: ClassifierRecipe, group: str, *, sized: bool
) -> ModelEntry:
    return ModelEntry(
        name=name,
        family="classifier",
        build="models.timm_classifier:build",
        weights=weights,
        recipes=MappingProxyType({"baseline": _SEED, "flip_crop": _FLIP_CROP, "modern": modern}),
        task="classification",
        heads=("last_epoch",),
        options={"sized": sized},
        image_size=224,
        seed_base=223,
        paper_recipe=replace(modern, epochs=200),
        group=group,
    )


CLASSIFIERS = (
    _classifier("resnet50", "resnet50.a1_in1k", _MODERN_CNN, "resnet", sized=False),
    _classifier(
        "vit_small_patch16_224",
        "vit_small_patch16_224.augreg_in21k_ft_in1k",
        _MODERN_TRANSFORMER,
        "vit",
        sized=True,
    ),
    _classifier(
        "deit_tiny_patch16_224",
        "deit_tiny_patch16_224.fb_in1k",
        _MODERN_TRANSFORMER,
        "vit",
        sized=True,
    ),
    _classifier("resnet18", "resnet18.tv_in1k", _MODERN_CNN, "resnet", sized=False),
)
