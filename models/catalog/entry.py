"""What the catalog says of weights, recipes and models; imports neither torch nor timm."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

ZOO_SEED = 42
"""Seed of replicate s0 of the anomaly zoo's models."""


@dataclass(frozen=True)
class WeightsEntry:
    """One set of pretrained weights, by its full tag, with where it comes from.

    Attributes:
        tag: Full name, ``architecture.training``, never a library's moving default.
        architecture: timm's name of the architecture that loads it.
        mean: Channel means its inputs were normalized with, for images in [0, 1].
        std: Channel standard deviations, likewise.
        made_by: Command that makes such weights where the publisher's cannot be had.
        url: Where the publisher keeps the file.
        file_stems: Names, without extension, under which a weights folder may hold it.
    """

    tag: str
    architecture: str
    url: str
    file_stems: tuple[str, ...]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    made_by: str = ""

    @property
    def file_name(self) -> str:
        """The publisher's name of the file; the tag's where every file there has one name."""
        name = self.url.rpartition("/")[2]
        return f"{self.tag}.safetensors" if name == "model.safetensors" else name

    @property
    def sha256_prefix(self) -> str | None:
        """First 8 hex digits of the file's sha256, where its name ends in them as torchvision's."""
        match = re.search(r"-([0-9a-f]{8})\.[a-z]+$", self.file_name)
        return match[1] if match else None


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: everything of it enters the recipe hash.

    Attributes:
        optimizer: ``none`` for a model that gathers statistics in one pass and steps nothing.
        betas: Of Adam; the first is SGD's momentum.
        amsgrad: Adam's variant that divides by the largest second moment so far.
        schedule: ``drop`` multiplies the rate by a tenth at 95 % of the steps.
        epochs: Passes over the fitted images in the original protocol.
        images: Budget in images instead of passes, where the original counts steps.
        warmup_epochs: Linear warm-up, part of ``epochs``.
        grad_clip: Largest global gradient norm; None leaves gradients alone.
        loss: A loss the model names, such as ``flattened`` or ``per_pixel`` for RD; None where a
            model has but one.
        options: Keyword arguments of ``build`` that take the place of the entry's own.
        source: Who published or chose these constants.
    """

    optimizer: Literal["adam", "adamw", "sgd", "none"]
    source: str
    lr: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    amsgrad: bool = False
    schedule: Literal["constant", "cosine", "drop"] = "constant"
    warmup_epochs: float = 0.0
    epochs: int = 50
    batch_size: int = 8
    images: int | None = None
    grad_clip: float | None = None
    loss: str | None = None
    gradient_checkpointing: bool = False
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class ClassifierRecipe(Recipe):
    """How a classifier is trained.

    Attributes:
        pretrained_lr: Learning rate of a case that starts from weights; None means ``lr``.
        base_transform: Augmentation under every other one: ``none``, ``flip_crop`` or ``modern``.
        alpha: Both parameters of the Beta distribution that MixUp and CutMix draw λ from.
        label_smoothing: Of the cross-entropy.
        ema_decay: Of the moving average of the parameters that is judged; None judges the last.
    """

    pretrained_lr: float | None = None
    base_transform: Literal["none", "flip_crop", "modern"] = "none"
    alpha: float = 1.0
    label_smoothing: float = 0.0
    ema_decay: float | None = None


@dataclass(frozen=True)
class ModelEntry:
    """One named configuration.

    Attributes:
        name: The id's model value, in ``[a-z0-9_.]``.
        family: Keyword and marker, such as ``distillation``.
        build: Import path ``module:function``, or the function itself; called as
            `models.components.base.Build` describes.
        options: Keyword arguments of ``build``.
        weights: Tag in `WEIGHTS` of the backbone's weights; None for a model without pretrained
            parts, which has scratch cases alone.
        heads: Names of the scoring heads that ``predict`` returns; the first ranks.
        layers: Stages of the frozen backbone that are tapped; empty for other models.
        recipes: Recipe by recipe; ``baseline`` is the original's and has no suffix in the id.
        image_size: Side in pixels that images are resized to.
        crop: Side of their middle that is kept; None keeps all.
        seed_base: The replicate s0 is seeded with this.
        standard_epochs: Budget of the ``standard`` profile in passes.
        standard_images: The same in images, for recipes that count images.
        paper_recipe: Recipe of the ``paper`` profile where it differs from ``baseline``.
        paper_input: ``(image_size, crop)`` of the ``paper`` profile where they differ.
        holds_out: Whether a tenth of the training images is kept from training, to calibrate on.
        auxiliary: Texture sets whose pictures the loss looks at, the preferred one first; a
            procedural stand-in serves where none is there.
        aliases: Other names of the model, to find it by.
        group: Which side of a study's comparison it is on, such as ``resnet``.
    """

    name: str
    family: str
    build: str | Callable[..., Any]
    weights: str | None
    recipes: Mapping[str, Recipe]
    task: Literal["anomaly", "classification"] = "anomaly"
    options: Mapping[str, Any] = field(default_factory=dict)
    heads: tuple[str, ...] = ("score",)
    layers: tuple[int, ...] = ()
    image_size: int = 256
    crop: int | None = None
    seed_base: int = 111
    standard_epochs: int = 50
    standard_images: int | None = None
    paper_recipe: Recipe | None = None
    paper_input: tuple[int, int | None] | None = None
    holds_out: bool = False
    auxiliary: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    group: str = ""

    def load_build(self) -> Callable[..., Any]:
        """Return the function that builds the model, importing it where `build` is a path."""
        if not isinstance(self.build, str):
            return self.build
        module, _, function = self.build.partition(":")
        build: Callable[..., Any] = getattr(import_module(module), function)
        return build
