"""Anomaly detection via Reverse Distillation from one-class embedding (Deng and Li, CVPR 2022).

A bottleneck embeds the features of a frozen teacher, and a student decodes the teacher's features
from the embedding. Trained on normal images alone, it fails on anomalies: the anomaly map is
1 − cosine between both features.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from models.catalog import WEIGHTS
from models.components.anomaly_map import of_maps, upsample_and_blur
from models.components.backbone import STRIDES, Backbone
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.gradient_checkpointing import checkpoint_stages
from models.components.size_check import check_multiple
from models.reverse_distillation import checkpoint as rd_checkpoint
from models.reverse_distillation.convnext_student import (
    AdaptedBottleneck,
    AdaptedDecoder,
    ConvNeXtBlockDecoder,
    ConvNeXtBottleneck,
    ConvNeXtDecoder,
)
from models.reverse_distillation.distance import LOSSES, distance_maps
from models.reverse_distillation.resnet_student import SHAPES, ResNetBottleneck, ResNetDecoder

_STRIDE = 32

_CONVNEXT_STUDENTS: Mapping[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "convnext": (ConvNeXtBottleneck, ConvNeXtDecoder),
    "convnext_cnblock": (ConvNeXtBottleneck, ConvNeXtBlockDecoder),
    "convnext_adapted": (AdaptedBottleneck, AdaptedDecoder),
}


class ReverseDistillation(AnomalyModel):
    """Backbone, bottleneck and student decoder.

    Args:
        teacher: Frozen backbone with features at strides 4, 8 and 16.
        bottleneck: Network from these to an embedding at stride 32.
        decoder: Network from the embedding to the teacher's features.
        loss: Name in `models.reverse_distillation.distance.LOSSES`.
        layout: Layout of the model's checkpoints.
    """

    features_only = True
    backbone: Backbone

    def __init__(
        self,
        teacher: Backbone,
        bottleneck: nn.Module,
        decoder: nn.Module,
        *,
        loss: str,
        layout: rd_checkpoint.Layout,
    ) -> None:
        super().__init__(teacher)
        self.bottleneck = bottleneck
        self.decoder = decoder
        self._loss = LOSSES[loss]
        self._layout = layout

    def student(self, features: list[Tensor]) -> list[Tensor]:
        """Return the student's features by scale (strides 4, 8, 16) from the teacher's.

        Raises:
            ValueError: A side of the images is not a multiple of 32.
        """
        height, width = (side * STRIDES[1] for side in features[0].shape[-2:])
        reason = f"Reverse Distillation halves and doubles an image {_STRIDE}-fold"
        check_multiple(reason, height, width, _STRIDE)
        decoded: list[Tensor] = self.decoder(self.bottleneck(features))
        return decoded

    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar training loss of normal images."""
        features = batch.get_features()
        return self._loss(features, self.student(features))

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return anomaly maps at the input's size and their maxima.

        As in the official code, maps are enlarged with the centers of their corners aligned.

        Returns:
            ``multi_scale``, the sum of all three scales as in the paper; ``single_scale``, the last
            scale alone (stride 16) as in the study's protocol.
        """
        features = batch.get_features()
        scales = distance_maps(features, self.student(features))
        maps = [upsample_and_blur(scale, batch.size, align_corners=True) for scale in scales]
        return {
            "multi_scale": of_maps(torch.stack(maps).sum(dim=0)),
            "single_scale": of_maps(maps[-1]),
        }

    def checkpoint(self) -> dict[str, Any]:
        """Return bottleneck and decoder in the original layout of the teacher's family."""
        return {self._layout: self.bottleneck.state_dict(), "decoder": self.decoder.state_dict()}

    def load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Load a result of `checkpoint`, or a checkpoint of this family's original code.

        Raises:
            ValueError: The checkpoint has another layout or is another model's.
        """
        rd_checkpoint.load(checkpoint, self._layout, self.bottleneck, self.decoder)


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    loss: str,
    gradient_checkpointing: bool = False,
    student: str = "resnet",
) -> ReverseDistillation:
    """Build a Reverse Distillation model; see `models.components.base.Build`.

    Args:
        weights: Tag of the teacher's weights.
        state: The teacher's tensors; None leaves it random.
        loss: ``flattened`` or ``per_pixel``.
        gradient_checkpointing: Recompute the student's stages in the backward pass.
        student: ``resnet`` mirrors a ResNet teacher; ``convnext``, ``convnext_cnblock`` and
            ``convnext_adapted`` go with a ConvNeXt one.

    Raises:
        ValueError: A name is unknown, or the tensors are not this teacher's.
    """
    for kind, name, known in (("weights", weights, WEIGHTS), ("loss", loss, LOSSES)):
        if name not in known:
            raise ValueError(f"Unknown {kind} '{name}': choose from {', '.join(known)}.")
    entry = WEIGHTS[weights or ""]
    convnext = entry.architecture.startswith("convnext")
    teacher = Backbone(entry, state)
    bottleneck, decoder = _student(student, entry.architecture, teacher.channels)
    model = ReverseDistillation(
        teacher, bottleneck, decoder, loss=loss, layout="bn_layer" if convnext else "bn"
    )
    if gradient_checkpointing:
        checkpoint_stages(model)
    return model.to(memory_format=torch.channels_last)


def _student(
    student: str, architecture: str, channels: Sequence[int]
) -> tuple[nn.Module, nn.Module]:
    if student == "resnet" and architecture in SHAPES:
        return ResNetBottleneck(SHAPES[architecture]), ResNetDecoder(SHAPES[architecture])
    if student in _CONVNEXT_STUDENTS and architecture.startswith("convnext"):
        bottleneck, decoder = _CONVNEXT_STUDENTS[student]
        return bottleneck(channels), decoder(channels)
    raise ValueError(
        f"There is no student '{student}' for the teacher {architecture}: 'resnet' goes with "
        f"{', '.join(SHAPES)}; {', '.join(_CONVNEXT_STUDENTS)} go with ConvNeXt."
    )
