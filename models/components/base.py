"""What a benchmarked model offers to the harness; the harness asks for nothing else."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Parameter

    from models.components.backbone import Backbone


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
class Saved(Protocol):
    """What can be kept and taken back; every implementation is an ``nn.Module``."""

    def checkpoint(self) -> "dict[str, Any]":
        """What must be saved to predict again, without a frozen backbone."""

    def load_checkpoint(self, checkpoint: "Mapping[str, Any]") -> None:
        """Take back what `checkpoint` gave, or raise `ValueError` naming what does not fit."""


@runtime_checkable
class Trainable(Saved, Protocol):
    """What the training loop steps and keeps."""

    def trainable_parameters(self) -> "list[Parameter]":
        """The parameters the optimizer steps, and no others."""


@runtime_checkable
class AnomalyModel(Saved, Protocol):
    """An anomaly model, whatever it learns by.

    Images are ``(B, 3, H, W)`` floats in [0, 1]: a model owns its normalization, so a saved model
    scores a picture without being told how it was fed.
    """

    def predict(self, images: "Tensor") -> dict[str, Prediction]:
        """Predictions by scoring head; the first head is the one that ranks.

        A score depends on its own image alone, never on its batch.
        """


@runtime_checkable
class GradientAnomalyModel(AnomalyModel, Trainable, Protocol):
    """An anomaly model trained by gradient."""

    def loss(self, images: "Tensor") -> "Tensor":
        """Scalar training loss of a batch of normal images."""


@runtime_checkable
class StatisticalModel(AnomalyModel, Protocol):
    """A model that gathers statistics in one pass over the training images, in batches.

    One that is trained by gradient as well gathers them first.
    """

    def update(self, images: "Tensor") -> None:
        """Take in a batch of normal images."""

    def compute(self) -> None:
        """Make of everything absorbed what predictions need; called once, after the last batch."""


@runtime_checkable
class FeatureModel(AnomalyModel, Protocol):
    """A model over a frozen backbone.

    What it does with images it does with their features, which are computed once: one that is
    trained has ``loss_of_features(features)`` beside ``loss``, one that gathers statistics
    ``update_features(features)`` beside ``update``, and all but a `StudentModel` have
    ``predict_of_features(features, size)`` beside ``predict``, of images of a size ``(H, W)``.
    Features are ``(B, C, h, w)``, one a tapped layer, and shared: nobody changes them in place.
    """

    def frozen(self) -> "Backbone":
        """Its frozen part; backbones of equal tensors share features."""


@runtime_checkable
class StudentModel(FeatureModel, GradientAnomalyModel, Protocol):
    """A model whose trained part sees the images and is compared with frozen features."""

    def loss_beside_features(self, images: "Tensor", features: "list[Tensor]") -> "Tensor":
        """As `loss`, of images with these features."""

    def predict_beside_features(
        self, images: "Tensor", features: "list[Tensor]"
    ) -> dict[str, Prediction]:
        """As `predict`, of images with these features."""


@runtime_checkable
class HoldOutModel(AnomalyModel, Protocol):
    """A model that, once trained, needs normal images it was not trained on.

    They come of the training split alone and are neither tested nor used for the threshold.
    """

    def calibrate(self, batches: "Iterable[Tensor]") -> None:
        """Take constants, such as quantiles of the maps, from batches of held-out images."""


@runtime_checkable
class AuxiliaryModel(GradientAnomalyModel, Protocol):
    """A model whose loss looks at other pictures beside the normal images."""

    def loss_beside(self, images: "Tensor", auxiliary: "Tensor") -> "Tensor":
        """As `loss`, with as many pictures of anything, ``(B, 3, H, W)`` in [0, 1]."""


@runtime_checkable
class Classifier(Trainable, Protocol):
    """An image classifier; images are ``(B, 3, H, W)`` floats in [0, 1], normalized inside."""

    def loss(self, images: "Tensor", targets: "Tensor") -> "Tensor":
        """Scalar training loss for labels ``(B,)`` or their mixture ``(B, classes)``."""

    def predict(self, images: "Tensor") -> "Tensor":
        """``(B, classes)`` logits, each of its own image alone."""

    def features(self, images: "Tensor") -> "Tensor":
        """``(B, D)`` what the last layer sees."""


class BuildClassifier(Protocol):
    """How a classifier's ``build`` is called; random initialization draws from torch's seed."""

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
            weights: Tag in `models.catalog.WEIGHTS` (architecture and normalization).
            state: The published tensors under their publisher's names; None leaves all random.
            classes: How many classes.
            image_size: Side of the images in pixels.
            label_smoothing: Of the training loss.
            options: The entry's own options.
        """


class Build(Protocol):
    """How an entry's ``build`` is called; random initialization draws from torch's global seed."""

    def __call__(
        self, *, weights: str | None, state: "Mapping[str, Tensor] | None", **options: Any
    ) -> AnomalyModel:
        """Build the model.

        Args:
            weights: Tag in `models.catalog.WEIGHTS` (architecture and normalization); None for a
                model without pretrained parts.
            state: The backbone's tensors under their publisher's names; None leaves it random.
            options: The entry's own options and its recipe's, among them the name of the ``loss``
                where there are several, and ``gradient_checkpointing`` where it is wanted.
        """
