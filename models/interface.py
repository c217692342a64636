"""What a benchmarked model offers to the harness; the harness asks for nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter


@dataclass(frozen=True)
class Prediction:
    """What an anomaly model says of a batch.

    Attributes:
        scores: ``(B,)`` float32, raw; higher is more anomalous.
        maps: ``(B, H, W)`` float32, raw, at the input's size; None for models without maps.
    """

    scores: "Tensor"
    maps: "Tensor | None"


@runtime_checkable
class Trainable(Protocol):
    """What the training loop steps and keeps; every implementation is an ``nn.Module``."""

    def trainable_parameters(self) -> "list[Parameter]":
        """The parameters the optimiser steps, and no others."""

    def checkpoint(self) -> "dict[str, Any]":
        """What must be saved to predict again, without a frozen backbone."""

    def load_checkpoint(self, checkpoint: "Mapping[str, Any]") -> None:
        """Take back what `checkpoint` gave, or raise `ValueError` naming what does not fit."""


@runtime_checkable
class GradientAnomalyModel(Trainable, Protocol):
    """An anomaly model trained by gradient.

    Images are ``(B, 3, H, W)`` floats in [0, 1]: a model owns its normalisation, so a saved model
    scores a picture without being told how it was fed.
    """

    def loss(self, images: "Tensor") -> "Tensor":
        """Scalar training loss of a batch of normal images."""

    def predict(self, images: "Tensor") -> dict[str, Prediction]:
        """Predictions by evaluation arm; the first arm is the one that ranks.

        A score depends on its own image alone, never on its batch.
        """


@runtime_checkable
class FrozenFeatureModel(Protocol):
    """A model whose frozen part sees un-augmented images, so that it need see them only once."""

    def features(self, images: "Tensor") -> "list[Tensor]":
        """The frozen part's outputs, ``(B, C, h, w)`` each, without gradient."""

    def loss_of_features(self, features: "list[Tensor]") -> "Tensor":
        """The training loss of images with these features: `loss` without the frozen part."""


@runtime_checkable
class Classifier(Trainable, Protocol):
    """An image classifier; images are ``(B, 3, H, W)`` floats in [0, 1], normalised inside."""

    def loss(self, images: "Tensor", targets: "Tensor") -> "Tensor":
        """Scalar training loss for labels ``(B,)`` or their mixture ``(B, classes)``."""

    def predict(self, images: "Tensor") -> "Tensor":
        """``(B, classes)`` logits, each of its own image alone."""

    def features(self, images: "Tensor") -> "Tensor":
        """``(B, D)`` what the last layer sees."""


class BuildClassifier(Protocol):
    """How a classifier's ``build`` is called; random initialisation draws from torch's seed."""

    def __call__(
        self,
        *,
        weights: str,
        state: "Mapping[str, Tensor] | None",
        classes: int,
        image_size: int,
        label_smoothing: float,
        **options: Any,
    ) -> Classifier:
        """Build the classifier.

        Args:
            weights: Tag in `models.catalog.WEIGHTS` (architecture and normalisation).
            state: The published tensors under their publisher's names; None leaves all random.
            classes: How many classes.
            image_size: Side of the images in pixels.
            label_smoothing: Of the training loss.
            options: The entry's own options.
        """


class Build(Protocol):
    """How an entry's ``build`` is called; random initialisation draws from torch's global seed."""

    def __call__(
        self,
        *,
        weights: str,
        state: "Mapping[str, Tensor] | None",
        loss: str,
        gradient_checkpointing: bool,
        **options: Any,
    ) -> GradientAnomalyModel:
        """Build the model.

        Args:
            weights: Tag in `models.catalog.WEIGHTS` (architecture and normalisation).
            state: The backbone's tensors under their publisher's names; None leaves it random.
            loss: Name of the loss.
            gradient_checkpointing: Recompute activations in the backward pass to save memory.
            options: The entry's own options.
        """
