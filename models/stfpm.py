"""Student-Teacher Feature Pyramid Matching (Wang et al., BMVC 2021).

A randomly initialized student of the teacher's architecture learns the teacher's features of normal
images. On anomalies, which it was not trained on, the two differ.

The official code trains on 80 % of the images and keeps the pass with the smallest maps on the
rest; here, as for every model, the last step is kept.
"""

from collections.abc import Mapping, Sequence

import timm
import torch
from timm.models import FeatureListNet
from torch import Tensor, nn
from torch.nn import functional as F

from models.catalog import WEIGHTS
from models.components.anomaly_map import of_maps, resize_maps
from models.components.backbone import Backbone
from models.components.base import AnomalyModel, Batch, Prediction


class STFPM(AnomalyModel):
    """Frozen teacher and student with the same input.

    Args:
        teacher: Frozen backbone with features at strides 4, 8 and 16.
        student: Network from normalized images to features of the same shapes.
    """

    backbone: Backbone

    def __init__(self, teacher: Backbone, student: nn.Module) -> None:
        super().__init__(teacher)
        self.student = student

    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar training loss of normal images.

        The squared distance of the normalized features, mean over positions (eq. 2) and batch, sum
        over layers with all α_l = 1 (eq. 3). As in the official code, without the factor 1/2 of
        eq. 1: the learning rate is that code's, and with the factor steps would be half as large.
        """
        distances = distance_maps(batch.get_features(), self._student_features(batch))
        return 2 * torch.stack([layer.mean() for layer in distances]).sum()

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return anomaly maps and their maxima.

        The layers' maps are multiplied on the first layer's grid and the product is upsampled, as
        in the official code; in Section 3.3 each map is upsampled first. There is no blur.
        """
        distances = distance_maps(batch.get_features(), self._student_features(batch))
        height, width = distances[0].shape[-2:]
        product = torch.stack([resize_maps(d, (height, width)) for d in distances]).prod(dim=0)
        return {"score": of_maps(resize_maps(product, batch.size))}

    def _student_features(self, batch: Batch) -> list[Tensor]:
        normalized = (batch.get_images().float() - self.backbone.mean) / self.backbone.std
        features: list[Tensor] = self.student(
            normalized.contiguous(memory_format=torch.channels_last)
        )
        return features


def distance_maps(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> list[Tensor]:
    """Return half the squared distance of features normalized over channels (Section 3.2, eq. 1).

    Computed in float32 even under autocast, which would round the difference of two nearly equal
    unit vectors to 0.

    Args:
        teacher: Features ``(B, C, h, w)`` by layer.
        student: Features of the same shapes.

    Returns:
        ``(B, h, w)`` float32 in [0, 2] by layer.
    """
    with torch.autocast(teacher[0].device.type, enabled=False):
        return [
            (F.normalize(t.float()) - F.normalize(s.float())).square().sum(dim=1) / 2
            for t, s in zip(teacher, student, strict=True)
        ]


def build(*, weights: str | None, state: Mapping[str, Tensor] | None) -> STFPM:
    """Build an STFPM model; see `models.components.base.Build`.

    Args:
        weights: Tag of the teacher's weights.
        state: Tensors of the teacher; None leaves it random.

    Raises:
        ValueError: The weights are unknown or not a ResNet's, or not this teacher's tensors.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"Unknown weights '{weights}': choose from {', '.join(WEIGHTS)}.")
    entry = WEIGHTS[weights or ""]
    if "resnet" not in entry.architecture:
        raise ValueError(
            f"STFPM's student is a ResNet like its teacher: wanted a ResNet's weights, found "
            f"{entry.architecture}'s. Choose resnet18.tv_in1k, for example."
        )
    teacher = Backbone(entry, state)
    return STFPM(teacher, _student(entry.architecture, teacher.layers))


def _student(architecture: str, layers: tuple[int, ...]) -> FeatureListNet:
    """Return a random network like the teacher, with unfolded BatchNorm, up to the last layer."""
    student = timm.create_model(
        architecture, features_only=True, out_indices=layers, zero_init_last=False
    )
    assert isinstance(student, FeatureListNet)
    return student.to(memory_format=torch.channels_last)
