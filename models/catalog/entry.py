"""Entries of the catalog: weights, recipes and models; imports neither torch nor timm."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any, Literal

from models.catalog.light_imports import without_compiler

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
        std: Channel standard deviations of the same normalization.
        made_by: Command that produces such weights if the publisher's are unavailable.
        parts: Tags of the weights that these consist of, where several networks make a backbone;
            then there is no file of their own, and ``url`` is the first part's.
        url: Download address of the file.
        file_stems: File names, without extension, that a weights folder is searched for.
        suffixes: Extensions of the publisher's files, in addition to the usual ones.
        license: SPDX name of the license that ``license_page`` states for the publisher's file;
            empty where no page states one.
        license_page: Page that was read for the license, or where to look for one.
    """

    tag: str
    architecture: str
    url: str
    file_stems: tuple[str, ...]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    made_by: str = ""
    suffixes: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    license: str = ""
    license_page: str = ""

    @property
    def license_text(self) -> str:
        """License as checkpoints state it: a name, or where to look.

        >>> WeightsEntry("a.b", "a", "", (), license_page="https://example.org").license_text
        'unknown: see https://example.org'
        """
        return self.license or f"unknown: see {self.license_page or self.url}"

    @property
    def file_name(self) -> str:
        """Publisher's file name, or the tag where all of its files have one name."""
        name = self.url.rpartition("/")[2]
        return f"{self.tag}.safetensors" if name == "model.safetensors" else name

    @property
    def sha256_prefix(self) -> str | None:
        """First 8 hex digits of the file's sha256, where its name ends in them as torchvision's."""
        match = re.search(r"-([0-9a-f]{8})\.[a-z]+$", self.file_name)
        return match[1] if match else None


OPTIMIZERS = ("adam", "adamw", "stable_adamw", "sgd", "none")
SCHEDULES = ("constant", "cosine", "linear", "drop", "milestones")


@dataclass(frozen=True)
class Recipe:
    """Training recipe of a model; every field but the source enters the recipe hash.

    Attributes:
        optimizer: ``none`` for a model that only gathers statistics in one pass.
        betas: Adam's coefficients; the first is SGD's momentum.
        eps: Term that keeps Adam's denominator from zero.
        amsgrad: Use the variant of Adam that divides by the largest second moment so far.
        schedule: ``cosine`` and ``linear`` end at ``final_factor`` of the rate; ``drop`` multiplies
            it by a tenth at 95 % of the steps, ``milestones`` by ``gamma`` at each milestone.
        final_factor: Share of the learning rate that ``cosine`` and ``linear`` end at.
        decay_steps: Steps until then, however long the training is; None means all of its steps.
        milestones: Shares of the steps at which the learning rate drops.
        gamma: Factor on the learning rate at a milestone.
        warmup_steps: Linear warm-up in steps, for recipes that count steps.
        epochs: Passes over the training images in the original protocol.
        images: Budget in images instead of passes, where the original counts steps: with fewer
            training images than a batch, the number of steps stays.
        warmup_epochs: Linear warm-up, part of ``epochs``; at most a tenth of them where a user or a
            profile shortens the training.
        grad_clip: Maximum global gradient norm; None disables clipping.
        target_loss: Training stops after a pass whose mean loss is at most this; None trains on.
        patience: Training stops after this many passes whose mean loss is not below the best one
            before by more than ``min_delta``; None trains on.
        min_delta: See ``patience``.
        loss: Name of one of the model's losses, such as ``flattened`` or ``per_pixel``; None where
            a model has a single loss.
        options: Keyword arguments of ``build`` that override the entry's own.
        source: Origin of these constants.
    """

    optimizer: Literal["adam", "adamw", "stable_adamw", "sgd", "none"]
    source: str
    lr: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    eps: float = 1e-8
    amsgrad: bool = False
    schedule: Literal["constant", "cosine", "linear", "drop", "milestones"] = "constant"
    final_factor: float = 0.0
    decay_steps: int | None = None
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    warmup_epochs: float = 0.0
    warmup_steps: int = 0
    epochs: int = 50
    batch_size: int = 8
    images: int | None = None
    grad_clip: float | None = None
    target_loss: float | None = None
    patience: int | None = None
    min_delta: float = 0.0
    loss: str | None = None
    gradient_checkpointing: bool = False
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name, value, known in (
            ("optimizer", self.optimizer, OPTIMIZERS),
            ("schedule", self.schedule, SCHEDULES),
        ):
            if value not in known:
                raise ValueError(f"{name} '{value}': wanted one of {', '.join(known)}.")
        if self.schedule == "milestones" and not self.milestones:
            raise ValueError(
                "schedule 'milestones' without milestones: wanted shares of the steps, such as "
                "milestones=(0.8, 0.9)."
            )


@dataclass(frozen=True)
class ClassifierRecipe(Recipe):
    """Training recipe of a classifier.

    Attributes:
        pretrained_lr: Learning rate of a case that starts from weights; None means ``lr``.
        base_transform: Augmentation applied before the case's own.
        alpha: Both parameters of the Beta distribution that MixUp and CutMix draw λ from.
        label_smoothing: Label smoothing of the cross-entropy.
        ema_decay: Decay of the moving average of the parameters that is evaluated; None evaluates
            the parameters themselves.
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
        name: Name in case ids, of characters ``[a-z0-9_.]``.
        family: Family for keyword selection, such as ``distillation``.
        build: Import path ``module:function``, or the function itself; called as
            `models.components.base.Build` describes.
        options: Keyword arguments of ``build``.
        weights: Tag in `WEIGHTS` of the backbone's weights; None for a model without pretrained
            parts, which has only scratch cases.
        heads: Names of the scoring heads that ``predict`` returns; the first ranks.
        layers: Tapped stages of the frozen backbone; empty for models without.
        recipes: Recipes by name; ``baseline`` is the original's and has no suffix in the id.
        image_size: Side in pixels that images are resized to.
        crop: Side of the center crop; None disables cropping.
        seed_base: Seed of replicate s0.
        standard_epochs: Budget of the ``standard`` profile in passes: minutes on one GPU for some
            200 images. None means the recipe's own budget, up to 50 passes.
        smoke_images: Budget of the ``smoke`` profile in images; None means that of all models.
        paper_recipe: Recipe of the ``paper`` profile where it differs from ``baseline``.
        paper_multi_class_images: Budget of ``paper_recipe`` in images for one model of all
            categories, where it differs.
        paper_input: ``(image_size, crop)`` of the ``paper`` profile where they differ.
        holds_out: Whether a tenth of the training images is held out for calibration.
        supervised: Whether the model trains on labeled defects too. Half of each kind of defect
            leaves the test set, and ``Batch.targets`` and ``Batch.masks`` are filled.
        randomness: ``none`` for a model whose weights and training images alone decide its scores:
            replicates are equal, and one is enough to rank. Its scratch cases are random still, as
            are its few-shot ones, whose replicates have training images of their own.
        tuned: Whether the recipe ``tuned`` was chosen for this very model, by ``bench tune``.
        auxiliary: Texture sets whose images fill ``Batch.auxiliary``, in order of preference;
            procedural textures serve where none is available.
        auxiliary_fit: How these are fitted: ``squash`` to the size of images, or ``middle``, the
            center of images of twice the size. Procedural textures are drawn at the size of images.
        aliases: Other names to find the model by.
        group: Side of a study's comparison, such as ``resnet``.
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
    standard_epochs: int | None = None
    smoke_images: int | None = None
    paper_recipe: Recipe | None = None
    paper_multi_class_images: int | None = None
    paper_input: tuple[int, int | None] | None = None
    holds_out: bool = False
    supervised: bool = False
    randomness: Literal["none", "seed"] = "seed"
    tuned: bool = False
    auxiliary: tuple[str, ...] = ()
    auxiliary_fit: Literal["squash", "middle"] = "squash"
    aliases: tuple[str, ...] = ()
    group: str = ""

    def load_build(self) -> Callable[..., Any]:
        """Return the function that builds the model, importing it where `build` is a path."""
        if not isinstance(self.build, str):
            return self.build
        with without_compiler():
            build: Callable[..., Any] = resolve_name(self.build)
        return build


def zoo_entry(
    name: str,
    family: str,
    build: str,
    weights: str | None,
    recipes: Mapping[str, Recipe],
    **fields: Any,
) -> ModelEntry:
    """Return an anomaly model's entry whose replicate s0 has `ZOO_SEED`; see `ModelEntry`."""
    return ModelEntry(
        name, family, build, weights, MappingProxyType(recipes), seed_base=ZOO_SEED, **fields
    )
