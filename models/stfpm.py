"""Student-Teacher Feature Pyramid Matching (Wang et al., BMVC 2021).

A student of the teacher's own architecture, started at random, learns to give the teacher's
features for normal images. It has never learned them for what is abnormal: there the two differ.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
from timm.models import FeatureListNet
from torch import Tensor, nn
from torch.nn import functional as F

from models.catalog import WEIGHTS
from models.components.anomaly_map import of_maps
from models.components.backbone import Backbone
from models.components.base import Prediction
from models.components.load_tensors import load_tensors


class STFPM(nn.Module):
    """A frozen teacher and a student that sees the same images.

    The student needs the images themselves: the teacher's features may be given beside them, but
    do not replace them.

    Args:
        teacher: Frozen features at strides 4, 8 and 16.
        student: From normalized images to features of the same shapes.
    """

    def __init__(self, teacher: Backbone, student: nn.Module) -> None:
        super().__init__()
        self.backbone = teacher
        self.student = student

    def frozen(self) -> Backbone:
        """The teacher."""
        return self.backbone

    def loss(self, images: Tensor) -> Tensor:
        """Scalar training loss of normal images ``(B, 3, H, W)`` in [0, 1]."""
        return self.loss_beside_features(images, self.backbone(images))

    def loss_beside_features(self, images: Tensor, features: list[Tensor]) -> Tensor:
        """The same where the teacher's features of the images are known.

        Section 3.2: at each position half the squared distance of the normalized features, mean
        over positions (eq. 2), sum over layers with every α_l = 1 (eq. 3); here mean over the
        batch as well. The official code leaves the half out.

        Args:
            images: ``(B, 3, H, W)`` in [0, 1].
            features: ``(B, C, h, w)`` by layer.
        """
        if not self.training:
            self.train()
        distances = distance_maps(features, self._student_features(images))
        return torch.stack([layer.mean() for layer in distances]).sum()

    def predict(self, images: Tensor) -> dict[str, Prediction]:
        """Anomaly maps of images ``(B, 3, H, W)`` in [0, 1], and their maxima."""
        return self.predict_beside_features(images, self.backbone(images))

    @torch.no_grad()
    def predict_beside_features(
        self, images: Tensor, features: list[Tensor]
    ) -> dict[str, Prediction]:
        """The same where the teacher's features are known; always float32 and evaluation mode.

        The layers' maps are multiplied at the first layer's grid, 64 × 64 of 256 pixels, and the
        product is enlarged, as in the official code; Section 3.3 enlarges each first. No blur.
        """
        if self.training:
            self.eval()
        with torch.autocast(images.device.type, enabled=False):
            distances = distance_maps(features, self._student_features(images))
            grid = distances[0].shape[-2:]
            product = torch.stack([_resized(layer, grid) for layer in distances]).prod(dim=0)
            return {"score": of_maps(_resized(product, images.shape[-2:]))}

    def trainable_parameters(self) -> list[nn.Parameter]:
        """The student's."""
        return list(self.student.parameters())

    def checkpoint(self) -> dict[str, Any]:
        """The student, with its running statistics."""
        return {"student": self.student.state_dict()}

    def load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take back what `checkpoint` gave.

        Raises:
            ValueError: It is another model's.
        """
        load_tensors(self.student, checkpoint, "student")

    def _student_features(self, images: Tensor) -> list[Tensor]:
        normalized = (images.float() - self.backbone.mean) / self.backbone.std
        features: list[Tensor] = self.student(
            normalized.contiguous(memory_format=torch.channels_last)
        )
        return features


def distance_maps(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> list[Tensor]:
    """Half the squared distance of features of unit length over channels (Section 3.2, eq. 1).

    Float32 whatever autocast says: of two nearly equal unit vectors bfloat16 leaves no difference.

    Args:
        teacher: ``(B, C, h, w)`` by layer.
        student: The same shapes.

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
        state: The teacher's tensors; None leaves it random.

    Raises:
        ValueError: Unknown weights, those of no ResNet, or tensors that are not this teacher's.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"Unknown weights '{weights}': there are {', '.join(WEIGHTS)}.")
    entry = WEIGHTS[weights or ""]
    if "resnet" not in entry.architecture:
        raise ValueError(
            f"STFPM's student is a ResNet as its teacher: wanted a ResNet's weights, found "
            f"{entry.architecture}'s. Choose resnet18.tv_in1k, for one."
        )
    teacher = Backbone(entry, state)
    return STFPM(teacher, _student(entry.architecture, teacher.layers))


def _student(architecture: str, layers: tuple[int, ...]) -> FeatureListNet:
    """A random network as the teacher's, with BatchNorm of its own, up to the last tapped layer."""
    student = timm.create_model(
        architecture, features_only=True, out_indices=layers, zero_init_last=False
    )
    assert isinstance(student, FeatureListNet)
    return student.to(memory_format=torch.channels_last)


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Bilinear resizing of ``(B, h, w)`` to ``(B, H, W)``."""
    large = F.interpolate(maps[:, None], tuple(size), mode="bilinear", align_corners=False)
    return large[:, 0]
