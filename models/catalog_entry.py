"""What the catalog says of weights, recipes and models; imports neither torch nor timm."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class WeightsEntry:
    """One set of pretrained weights, by its full tag, with where it comes from.

    Attributes:
        tag: Full name, ``architecture.training``, never a library's moving default.
        architecture: timm's name of the architecture that loads it.
        mean: Channel means its inputs were normalised with, for images in [0, 1].
        std: Channel standard deviations, likewise.
        url: Where the publisher keeps the file.
        file_stems: Names, without extension, under which a weights folder may hold it.
    """

    tag: str
    architecture: str
    url: str
    file_stems: tuple[str, ...]
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

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
        epochs: Passes over the fitted images in the original protocol.
        warmup_epochs: Linear warm-up, part of ``epochs``.
        grad_clip: Largest global gradient norm; None leaves gradients alone.
        loss: A loss the model names, such as ``flattened`` or ``per_pixel`` for RD.
        source: Who published or chose these constants.
    """

    optimizer: Literal["adam", "adamw", "sgd"]
    lr: float
    source: str
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: float = 0.0
    epochs: int = 50
    batch_size: int = 8
    grad_clip: float | None = None
    loss: str = "per_pixel"
    gradient_checkpointing: bool = False


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
        build: Import path ``module:function`` of a `models.interface.Build`, of a classifier
            of a `models.interface.BuildClassifier`.
        options: Keyword arguments of ``build``.
        weights: Tag in `WEIGHTS` of the backbone's weights.
        recipes: Recipe by arm; ``baseline`` is the original's and has no suffix in the id.
        seed_base: The replicate s0 is seeded with this.
        standard_epochs: Budget of the ``standard`` profile.
        paper_recipe: Recipe of the ``paper`` profile where it differs from ``baseline``.
        group: Which side of a study's comparison it is on, such as ``resnet``.
    """

    name: str
    family: str
    build: str
    weights: str
    recipes: Mapping[str, Recipe]
    task: Literal["anomaly", "classification"] = "anomaly"
    options: Mapping[str, Any] = field(default_factory=dict)
    image_size: int = 256
    seed_base: int = 111
    standard_epochs: int = 50
    paper_recipe: Recipe | None = None
    group: str = ""
