"""Every named model configuration, as data; imports neither torch nor timm.

A model entry names the function that builds it, the pretrained weights it taps, and its recipes.
The function is loaded only when a case runs, so collecting thousands of cases costs nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
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
        """The publisher's name of the file."""
        return self.url.rpartition("/")[2]

    @property
    def sha256_prefix(self) -> str | None:
        """First 8 hex digits of the file's sha256, where its name ends in them as torchvision's."""
        match = re.search(r"-([0-9a-f]{8})\.[a-z]+$", self.file_name)
        return match[1] if match else None


def _torchvision(architecture: str, file: str, tag: str = "tv_in1k") -> WeightsEntry:
    full = f"{architecture}.{tag}"
    return WeightsEntry(
        tag=full,
        architecture=architecture,
        url=f"https://download.pytorch.org/models/{file}.pth",
        file_stems=(full, architecture, file),
    )


# torchvision IMAGENET1K_V1, whose timm tag is tv_in1k; timm has no tag for torchvision's ConvNeXt.
WEIGHTS: Mapping[str, WeightsEntry] = MappingProxyType(
    {
        entry.tag: entry
        for entry in (
            _torchvision("resnet18", "resnet18-f37072fd"),
            _torchvision("resnet50", "resnet50-0676ba61"),
            _torchvision("wide_resnet50_2", "wide_resnet50_2-95faca4d"),
            _torchvision("convnext_tiny", "convnext_tiny-983f1562"),
            # The authors' own weights: a plain convnext_tiny file in a folder is not taken for it.
            WeightsEntry(
                tag="convnext_tiny.fb_in1k",
                architecture="convnext_tiny",
                url="https://dl.fbaipublicfiles.com/convnext/convnext_tiny_1k_224_ema.pth",
                file_stems=("convnext_tiny.fb_in1k", "convnext_tiny_1k_224_ema"),
            ),
        )
    }
)


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
class ModelEntry:
    """One named configuration.

    Attributes:
        name: The id's model value, in ``[a-z0-9_.]``.
        family: Keyword and marker, such as ``distillation``.
        build: Import path ``module:function`` of a `models.interface.Build`.
        options: Keyword arguments of ``build``.
        weights: Tag in `WEIGHTS` of the frozen backbone.
        recipes: Recipe by arm; ``baseline`` is the original's and has no suffix in the id.
        seed_base: The replicate s0 is seeded with this.
        standard_epochs: Budget of the ``standard`` profile.
        paper_recipe: Recipe of the ``paper`` profile where it differs from ``baseline``.
        group: Which side of a study's comparison it is on (``resnet`` or ``convnext``).
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


_RD_RESNET = Recipe(
    optimizer="adam",
    lr=0.005,
    betas=(0.5, 0.999),
    epochs=50,
    batch_size=8,
    loss="flattened",
    source="the original study's ResNet recipe",
)
_RD_PAPER = replace(
    _RD_RESNET, epochs=200, batch_size=16, source="Deng and Li, CVPR 2022, section 4"
)
_RD_CONVNEXT = Recipe(
    optimizer="adamw",
    lr=1e-3,
    weight_decay=0.01,
    schedule="cosine",
    epochs=100,
    batch_size=8,
    grad_clip=1.0,
    source="the original study's ConvNeXt recipe",
)
_RD_SAME = replace(_RD_CONVNEXT, source="one recipe for every teacher")
# Best of six by mean image AUROC over surface's four textures and both evaluation arms, one seed:
# python -m bench tune rd_resnet18; records in results/baselines/tuning/.
_RD_TUNED = replace(_RD_SAME, lr=5e-3, source="tuned on surface for rd_resnet18")
_RD_TUNED_ELSEWHERE = replace(
    _RD_TUNED, source="taken over from rd_resnet18: not tuned for this teacher, for want of weights"
)
_RD_CNBLOCK = replace(
    _RD_CONVNEXT, weight_decay=0.05, warmup_epochs=5.0, source="ConvNeXt-style AdamW with warm-up"
)


def _rd(name: str, weights: str, baseline: Recipe, tuned: Recipe, **options: Any) -> ModelEntry:
    other = "flattened" if baseline.loss == "per_pixel" else "per_pixel"
    student = options.get("student", "resnet")
    return ModelEntry(
        name=name,
        family="distillation",
        build="models.reverse_distillation:build",
        weights=weights,
        options=options,
        recipes=MappingProxyType(
            {
                "baseline": baseline,
                "same": _RD_SAME,
                "tuned": tuned,
                other: replace(baseline, loss=other),
            }
        ),
        paper_recipe=_RD_PAPER if student == "resnet" else None,
        group="convnext" if weights.startswith("convnext") else "resnet",
    )


MODELS: Mapping[str, ModelEntry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            _rd("rd_resnet50", "resnet50.tv_in1k", _RD_RESNET, _RD_TUNED_ELSEWHERE),
            _rd("rd_wide_resnet50_2", "wide_resnet50_2.tv_in1k", _RD_PAPER, _RD_TUNED_ELSEWHERE),
            _rd("rd_resnet18", "resnet18.tv_in1k", _RD_RESNET, _RD_TUNED),
            _rd(
                "rd_convnext",
                "convnext_tiny.tv_in1k",
                _RD_CONVNEXT,
                _RD_CNBLOCK,
                student="convnext",
            ),
            _rd(
                "rd_convnext_cnblock",
                "convnext_tiny.tv_in1k",
                _RD_CNBLOCK,
                _RD_CNBLOCK,
                student="convnext_cnblock",
            ),
            _rd(
                "rd_convnext_adapted",
                "convnext_tiny.tv_in1k",
                _RD_RESNET,
                _RD_TUNED_ELSEWHERE,
                student="convnext_adapted",
            ),
        )
    }
)
