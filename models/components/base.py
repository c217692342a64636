"""The contract between models and the harness, which requires nothing else of a model."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from models.components.checkpoints import DynamicBuffers, load_tensors, state_without
from models.components.draws import Draws, GlobalDraws

if TYPE_CHECKING:
    from models.components.frozen_backbone import FrozenBackbone


class ModelContractError(Exception):
    """A model or its caller broke the contract of this module; the message says how."""


@dataclass(frozen=True)
class Prediction:
    """Anomaly scores and maps of a batch, from one scoring head.

    Attributes:
        scores: ``(B,)`` float32, raw; higher is more anomalous.
        maps: ``(B, H, W)`` float32, raw, at the input's size; None for models without maps.
    """

    scores: Tensor
    maps: Tensor | None


@dataclass(frozen=True)
class Batch:
    """The input that the harness passes to a model.

    Attributes:
        images: ``(B, 3, H, W)`` floats in [0, 1]; None only for a model with `features_only` whose
            features were cached. A model owns its normalization.
        features: ``(B, C, h, w)`` per tapped layer of the model's backbone. Cached and shared by
            models: never change them in place.
        auxiliary: ``(B, 3, H, W)`` other images in [0, 1], for models whose entry lists
            ``auxiliary`` sets.
        targets: ``(B,)`` bool labels, True for defects, for supervised models.
        masks: ``(B, H, W)`` bool masks of labeled defects, for supervised models.
        image_size: ``(H, W)``; needed where ``images`` is None.
        draws: Random numbers of the samples, for models that change images or synthesize defects.
        step: Number of the optimizer step, from 0, for schedules inside a model.
        steps: Number of steps of the whole training.
    """

    images: Tensor | None
    features: list[Tensor] | None = None
    auxiliary: Tensor | None = None
    targets: Tensor | None = None
    masks: Tensor | None = None
    image_size: tuple[int, int] | None = None
    draws: Draws | None = None
    step: int = 0
    steps: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images in pixels.

        >>> Batch(torch.zeros(1, 3, 32, 48)).size
        (32, 48)
        """
        if self.image_size is not None:
            return self.image_size
        height, width = self.get_images().shape[-2:]
        return height, width

    def get_images(self) -> Tensor:
        """Return the images.

        Raises:
            ModelContractError: The batch has none.
        """
        if self.images is None:
            raise ModelContractError(
                "A model asked for images, found a batch of only cached features: give the batch "
                "images, or set `features_only = False` on a model that reads them."
            )
        return self.images

    def get_features(self) -> list[Tensor]:
        """Return the backbone's features, one tensor per tapped layer.

        Raises:
            ModelContractError: The batch has none.
        """
        if self.features is None:
            raise ModelContractError(
                "A model asked for features, found a batch without: pass the images through its "
                "`backbone` first, or call the model itself, which does so."
            )
        return self.features

    def get_draws(self) -> Draws:
        """Return the samples' random numbers, from torch's global generator if none were given."""
        if self.draws is not None:
            return self.draws
        tensor = self.get_features()[0] if self.images is None else self.images
        return GlobalDraws(len(tensor), tensor.device)


class AnomalyModel(DynamicBuffers):
    """Base of anomaly models.

    A gradient-trained model overrides `loss`; a model that gathers statistics in one pass over the
    training images overrides `update` and `compute`; a model may do both, statistics first. The
    harness owns device, precision, schedule, checkpoints and modes. It calls `update`, `compute`
    and `calibrate` in evaluation mode under `torch.no_grad`, so that tensors kept there may be
    trained on later; `predict` in evaluation mode under `torch.inference_mode`, in training's own
    evaluation and in `bench.predict`; all of them without autocast. It calls `loss` in training
    mode, under autocast where the recipe says so.

    Attributes:
        features_only: Whether every method reads only ``batch.features`` and ``batch.size``.
        frozen_parts: Submodules that are pretrained and never trained, left out of checkpoints.
        last_phase: Share of the steps before the last phase of training, whose losses alone can
            end it early: every phase trains other parts.
        score_version: Raised when the values of a model's scores change, because thresholds of
            older checkpoints do not fit them.
        backbone: Frozen network whose features fill ``batch.features``; None for other models.
    """

    features_only: ClassVar[bool] = False
    frozen_parts: ClassVar[tuple[str, ...]] = ("backbone",)
    last_phase: ClassVar[Fraction] = Fraction(0)
    score_version: ClassVar[int] = 1
    # An annotation alone: a class attribute None would shadow the submodule of this name.
    backbone: "FrozenBackbone | None"

    def __init__(self, backbone: "FrozenBackbone | None" = None) -> None:
        super().__init__()
        self.backbone = backbone

    @property
    def uses_gradients(self) -> bool:
        """Whether the model is trained by gradient: whether it overrides `loss`."""
        return type(self).loss is not AnomalyModel.loss

    @property
    def gathers_statistics(self) -> bool:
        """Whether the model gathers statistics in one pass: whether it overrides `update`."""
        return type(self).update is not AnomalyModel.update

    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar training loss of a batch of normal images."""
        raise NotImplementedError

    def update(self, batch: Batch) -> None:
        """Add a batch of normal images to the statistics."""
        raise NotImplementedError

    def compute(self) -> None:
        """Turn the statistics into what `predict` needs; called once, after the last `update`."""
        raise NotImplementedError

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Compute constants, such as quantiles of maps, from held-out normal images.

        Called after training, for models whose entry says ``holds_out``.
        """
        raise NotImplementedError

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return predictions by scoring head, the heads that the model's entry declares.

        A score depends on its own image alone, never on its batch.
        """
        raise NotImplementedError

    def trainable_parameters(self) -> list[Parameter]:
        """Return the parameters the optimizer steps: those that require a gradient."""
        frozen = set() if self.backbone is None else set(self.backbone.parameters())
        return [p for p in self.parameters() if p.requires_grad and p not in frozen]

    def parameter_groups(self) -> list[tuple[float, list[Parameter]]]:
        """Return the trainable parameters in groups, each with a factor on the learning rate."""
        return [(1.0, self.trainable_parameters())]

    def checkpoint(self) -> dict[str, Any]:
        """Return what must be saved to predict again, without frozen parts."""
        return dict(state_without(self, self.frozen_parts))

    def load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Load what `checkpoint` returned.

        Raises:
            ValueError: It is another model's; the message names what does not fit, and the model
                is unchanged.
        """
        load_tensors(self, checkpoint, self.frozen_parts)

    @torch.no_grad()
    def forward(self, images: Tensor) -> dict[str, Prediction]:
        """Return the predictions for images, as a saved model is used on its own.

        Args:
            images: ``(B, 3, H, W)`` in [0, 1].
        """
        if self.training:
            self.eval()
        with torch.autocast(images.device.type, enabled=False):
            features = None if self.backbone is None else self.backbone(images)
            return self.predict(Batch(images, features))

    def _check_fitted(self, buffer: Tensor, content: str) -> None:
        """Raise `RuntimeError` if a dynamic buffer, described by its content, is empty."""
        if not buffer.numel():
            raise RuntimeError(
                f"{type(self).__name__} has no {content} yet: wanted a fitted model, found an "
                "empty one. Call update() with the training images and then compute(), or load a "
                "checkpoint."
            )


class Classifier(nn.Module):
    """Base of image classifiers; images are ``(B, 3, H, W)`` floats in [0, 1].

    Methods take tensors, so that they can be compiled and captured as CUDA graphs.
    """

    def loss(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the scalar training loss for labels ``(B,)`` or mixtures ``(B, classes)``."""
        raise NotImplementedError

    def predict(self, images: Tensor) -> Tensor:
        """Return logits ``(B, classes)``, each of which depends only on its own image."""
        raise NotImplementedError

    def features(self, images: Tensor) -> Tensor:
        """Return the input of the last layer, ``(B, D)``."""
        raise NotImplementedError

    def trainable_parameters(self) -> list[Parameter]:
        """Return the parameters the optimizer steps: those that require a gradient."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def parameter_groups(self) -> list[tuple[float, list[Parameter]]]:
        """Return the trainable parameters in groups, each with a factor on the learning rate."""
        return [(1.0, self.trainable_parameters())]

    def checkpoint(self) -> dict[str, Any]:
        """Return what must be saved to predict again."""
        return self.state_dict()

    def load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Load what `checkpoint` returned.

        Raises:
            ValueError: It is another network's; the message names what does not fit.
        """
        load_tensors(self, checkpoint)


Build = Callable[..., AnomalyModel]
"""How an anomaly model's entry is built; random initialization draws from torch's global seed.

Keyword arguments: ``weights``, a tag in `models.catalog.WEIGHTS` or None for a model without
pretrained parts; ``state``, the pretrained part's tensors under their publisher's names, None to
leave it random; the entry's and the recipe's options; ``loss``, ``gradient_checkpointing`` where
the recipe sets them; and ``image_size`` where the function has such a parameter. A classifier's
function also gets ``classes``, ``image_size`` and ``label_smoothing``."""
