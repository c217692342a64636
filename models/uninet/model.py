"""UniNet: contrastive learning-guided framework with feature selection (Wei et al., CVPR 2025).

A frozen source teacher and a target teacher that adapts slowly embed an image through one
bottleneck; one student decodes both embeddings. What it decodes from the target teacher is compared
with the source teacher's features and the other way round, so that neither can copy itself.

The official code treats some categories of MVTec AD in another way, which is not done here. For
transistor, its target teacher learns a hundred times faster, at 1e-4, and nothing selects features.
For six categories, its temperature is 0.1 (see `build`).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from models.catalog import WEIGHTS
from models.components.anomaly_map import resize_maps, upsample_and_blur
from models.components.backbone import STRIDES, Backbone, trainable_network
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.size_check import check_multiple
from models.reverse_distillation.distance import distance_maps
from models.reverse_distillation.resnet_student import SHAPES, ResNetDecoder, ResNetShape
from models.uninet.bottleneck import AttentionBottleneck
from models.uninet.loss import uninet_loss
from models.uninet.selection import FeatureSelection

TARGET_RATE = 1e-6 / 5e-3
"""Learning rate of the target teacher as a factor on the student's (official code)."""

# Upper and lower bound of the share of pixels that make an image's score (official code).
_ALPHA, _BETA = 0.01, 3e-5
_LARGEST_DISTANCE = 2  # of 1 − cosine, so that no image averages more than 2 α of its pixels


class UniNet(AnomalyModel):
    """Source teacher (the backbone), target teacher, bottleneck, student and feature selection.

    Args:
        source: Frozen teacher with features at strides 4, 8 and 16.
        target: Trainable network of the same architecture, from normalized images.
        shape: Hyperparameters of both.
        temperature: Temperature of the contrast.
    """

    backbone: Backbone

    def __init__(
        self,
        source: Backbone,
        target: nn.Module,
        shape: ResNetShape,
        temperature: float,
    ) -> None:
        super().__init__(source)
        self.target = target
        self.bottleneck = AttentionBottleneck(shape)
        self.student = ResNetDecoder(shape)
        self.selection = FeatureSelection(shape.channels)
        self._temperature = temperature

    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar training loss of normal images."""
        pairs = self._pairs(batch)
        return torch.stack(
            [
                uninet_loss(teacher, self.selection(student, teacher), self._temperature)
                for teacher, student in pairs
            ]
        ).sum()

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return the blurred sum of the six distance maps, and the means of its largest values.

        How many values are averaged depends on the image, see `decision_share`. The official code
        blurs the map for the image's score alone and evaluates pixels on the unblurred one.
        """
        scales = [
            scale
            for teacher, student in self._pairs(batch)
            for scale in distance_maps(teacher, student)
        ]
        size = batch.size
        upsampled = [resize_maps(scale, size, align_corners=True) for scale in scales]
        total = torch.stack(upsampled).sum(dim=0)
        maps = upsample_and_blur(total, size)
        peaks = torch.stack([scale.amax(dim=(1, 2)) for scale in scales], dim=1)
        return {"score": Prediction(_mean_of_largest(maps, decision_share(peaks)), maps)}

    def parameter_groups(self) -> list[tuple[float, list[Parameter]]]:
        """Return the student's side at the recipe's rate and the target teacher far below it."""
        ours = [*self.bottleneck.parameters(), *self.student.parameters()]
        ours += self.selection.parameters()
        return [(1.0, ours), (TARGET_RATE, list(self.target.parameters()))]

    def _pairs(self, batch: Batch) -> list[tuple[list[Tensor], list[Tensor]]]:
        """Return each teacher's features with what the student decodes from the other's."""
        images = batch.get_images()
        _check_size(*images.shape[-2:])
        source = batch.get_features()
        normalized = (images.float() - self.backbone.mean) / self.backbone.std
        target = self.target(normalized.contiguous(memory_format=torch.channels_last))
        both = [torch.cat(scale) for scale in zip(target, source, strict=True)]
        decoded, count = self.student(self.bottleneck(both)), images.shape[0]
        # Neither chunk(2) nor len(images): an export takes any number of images.
        of_target, of_source = [s[:count] for s in decoded], [s[count:] for s in decoded]
        return [(source, of_target), (target, of_source)]


def decision_share(peaks: Tensor) -> Tensor:
    """Return the share of an image's pixels that are averaged to its score, ``(B,)``.

    Of the largest distances by scale, those whose softmax is above average are averaged; the share
    is that mean times α, at least β (the weighted decision mechanism).

    Args:
        peaks: Largest distance of each image at each scale, ``(B, scales)``.
    """
    probabilities = peaks.softmax(dim=1)
    chosen = probabilities > probabilities.mean(dim=1, keepdim=True)
    # With equal peaks, rounding may choose none; their mean then equals any of them.
    chosen |= peaks == peaks.amax(dim=1, keepdim=True)
    return ((peaks * chosen).sum(dim=1) / chosen.sum(dim=1) * _ALPHA).clamp_min(_BETA)


def _mean_of_largest(maps: Tensor, shares: Tensor) -> Tensor:
    """Return the mean ``(B,)`` of each map's largest values, a share of them or at least one."""
    values = maps.flatten(1)
    pixels = values.shape[1]
    most = max(1, int(pixels * _LARGEST_DISTANCE * _ALPHA))
    counts = (shares * pixels).long().clamp(1, most)[:, None]
    largest = values.topk(most, dim=1).values
    taken = torch.arange(most, device=maps.device) < counts
    return ((largest * taken).sum(dim=1, keepdim=True) / counts)[:, 0]


def _check_size(height: int, width: int) -> None:
    deepest = STRIDES[4]
    reason = f"UniNet halves and doubles an image {deepest}-fold"
    check_multiple(reason, height, width, deepest)


def build(
    *, weights: str | None, state: Mapping[str, Tensor] | None, temperature: float = 2.0
) -> UniNet:
    """Build a UniNet; see `models.components.base.Build`.

    Args:
        weights: Tag of the teachers' weights.
        state: The teachers' tensors; None leaves both at the same random ones.
        temperature: Temperature of the contrast: 2 for one class, 0.1 for all of MVTec AD's. The
            official code also uses 0.1 for six of MVTec AD's categories alone, and 2 for all
            categories of other datasets.

    Raises:
        ValueError: The weights are unknown or not a ResNet's, or not these teachers' tensors.
    """
    if weights not in WEIGHTS:
        raise ValueError(f"Unknown weights '{weights}': choose from {', '.join(WEIGHTS)}.")
    entry = WEIGHTS[weights or ""]
    if entry.architecture not in SHAPES:
        raise ValueError(
            f"UniNet's student mirrors a ResNet: wanted weights of {', '.join(SHAPES)}, found "
            f"{entry.architecture}'s."
        )
    target = trainable_network(entry, state)
    source = Backbone(entry, target.state_dict() if state is None else state)
    model = UniNet(source, target, SHAPES[entry.architecture], temperature)
    return model.to(memory_format=torch.channels_last)
