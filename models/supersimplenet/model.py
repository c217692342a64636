"""SuperSimpleNet (Rolih et al., ICPR 2024): separates normal features from noisy ones.

Frozen features of normal images are adapted by a linear map, each batch twice. Gaussian noise under
random Perlin masks makes half of them defective, and two heads learn to find it: where it is, and
whether there is any. The supervised variant learns labeled defects as well.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter
from torchvision.ops import sigmoid_focal_loss

from models.components.anomaly_map import upsample_and_blur
from models.components.backbone import Backbone
from models.components.base import AnomalyModel, Batch, ModelContractError, Prediction
from models.components.draws import Draws
from models.components.perlin import perlin_noise
from models.supersimplenet.features import AdaptedFeatures, downsampled_masks, mean_where
from models.supersimplenet.heads import Heads

ADAPTOR_RATE = 1e-4 / 2e-4
"""Learning rate of the adaptor as a factor on the heads'."""

_NOISE = 0.015  # standard deviation on adapted features
_MARGIN = 0.5  # logits further than this on the right side have no loss
_FOCUS = 4.0  # exponent of the focal loss
_CLEAN_SHARE = 0.5
"""Share of the images that get no noise."""


class SuperSimpleNet(AnomalyModel):
    """Backbone, adaptor and heads.

    The paper adapts the features of both heads, as here (the official code's ICPR version). The
    official optimizer leaves the adaptor's weight decay at AdamW's 0.01; here it is the heads'
    1e-5; at the adaptor's rate the difference is a factor of 0.997 over 300 epochs of MVTec AD.
    With labels, its code draws as many defective images as normal ones in each pass, and mirrors
    the defective ones; here every image is shown equally often, as it is.

    Args:
        backbone: Frozen backbone with features at strides 8 and 16.
        threshold: Noise is added where Perlin noise exceeds it.
        supervised: Whether batches bring labels and masks of known defects.
    """

    features_only = True
    backbone: Backbone

    def __init__(self, backbone: Backbone, threshold: float, supervised: bool) -> None:
        super().__init__(backbone)
        self.adaptor = AdaptedFeatures(backbone.channels)
        # With labels, the classification head's gradient reaches the map that it reads.
        self.heads = Heads(sum(backbone.channels), stop_gradient=not supervised)
        self._threshold = threshold
        self._supervised = supervised

    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar training loss.

        It is float32 even under autocast: bfloat16 rounds features above 4 by up to the noise's
        standard deviation.

        Raises:
            ModelContractError: The model is supervised, and the batch has no labels or masks.
        """
        with torch.autocast(batch.get_features()[0].device.type, enabled=False):
            return self._loss(batch)

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return the segmentation head's map, blurred, and the classification head's score.

        Both are logits: the sigmoid that the official code applies to scores keeps their order but
        makes ties. Its blur ends at three standard deviations and mirrors the map at its border;
        this one ends at four and repeats the border.
        """
        maps, scores = self.heads(self.adaptor(batch.get_features()))
        return {"score": Prediction(scores, upsample_and_blur(maps, batch.size))}

    def parameter_groups(self) -> list[tuple[float, list[Parameter]]]:
        """Return the heads at the recipe's rate and the adaptor at half of it."""
        return [
            (1.0, list(self.heads.parameters())),
            (ADAPTOR_RATE, list(self.adaptor.parameters())),
        ]

    def _loss(self, batch: Batch) -> Tensor:
        adapted = self.adaptor(batch.get_features())
        defects = self._known_defects(batch, adapted).repeat(2, 1, 1)
        halves = [batch.get_draws().fold_in(half) for half in ("first", "second")]
        noisy = torch.cat([self._noise_masks(half, adapted) for half in halves]) & ~defects
        maps, scores = self.heads(_with_noise(torch.cat([adapted, adapted]), halves, noisy))
        defects = defects | noisy
        labels = defects.flatten(1).any(dim=1)
        if self._supervised and batch.targets is not None:
            labels = labels | batch.targets.bool().repeat(2)
        return segmentation_loss(maps, defects) + focal_loss(scores, labels)

    def _known_defects(self, batch: Batch, adapted: Tensor) -> Tensor:
        """Return the masks of labeled defects at the features' size, bool ``(B, h, w)``."""
        size = adapted.shape[-2], adapted.shape[-1]
        if not self._supervised:
            count = len(batch.get_features()[0])
            return torch.zeros(count, *size, dtype=torch.bool, device=adapted.device)
        if batch.targets is None or batch.masks is None:
            raise ModelContractError(
                "A supervised SuperSimpleNet was given a batch without targets or masks: set "
                "`supervised=True` on its entry, and choose a dataset with masks."
            )
        return downsampled_masks(batch.masks, size)

    def _noise_masks(self, draws: Draws, adapted: Tensor) -> Tensor:
        """Draw where noise is added, bool ``(B, h, w)``: nowhere in half of the images."""
        noise = perlin_noise(draws, (adapted.shape[-2], adapted.shape[-1]))
        noisy = draws.fold_in("noisy").uniform(1, 1) > _CLEAN_SHARE
        return (noise > self._threshold) & noisy


def _with_noise(features: Tensor, halves: Sequence[Draws], noisy: Tensor) -> Tensor:
    """Return features ``(2B, C, h, w)`` with noise at marked positions ``(2B, h, w)``.

    On a CPU they are changed in place, and no noise is drawn for images without such a position; to
    know these, one would have to wait for a GPU.
    """
    if features.device.type != "cpu":
        noise = torch.cat([_normal_like(half, features) for half in halves])
        return features + _NOISE * noise * noisy[:, None]
    for number, (half, where) in enumerate(zip(halves, noisy.chunk(len(halves)), strict=True)):
        rows = where.flatten(1).any(dim=1).nonzero()[:, 0]
        noise = _NOISE * _normal_like(half.of(rows), features) * where[rows, None]
        features.index_add_(0, number * len(where) + rows, noise)
    return features


def _normal_like(draws: Draws, features: Tensor) -> Tensor:
    """Draw ``(B, C, h, w)`` with channels last in memory, as a backbone's features are."""
    channels, height, width = features.shape[1:]
    return draws.fold_in("noise").normal(height, width, channels).permute(0, 3, 1, 2)


def segmentation_loss(maps: Tensor, defects: Tensor) -> Tensor:
    """Return the truncated L1 loss and the focal loss of maps.

    Normal positions should be below −0.5 and defective ones above 0.5; means are over the positions
    of each kind in the batch.

    Args:
        maps: Logits ``(B, h, w)``.
        defects: Bool ``(B, h, w)``.
    """
    normal = mean_where((maps + _MARGIN).clamp_min(0), ~defects)
    defective = mean_where((_MARGIN - maps).clamp_min(0), defects)
    return normal + defective + focal_loss(maps, defects)


def focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of (1 − p)⁴ times the cross-entropy, of the probability p of the target."""
    loss: Tensor = sigmoid_focal_loss(
        logits, targets.to(logits.dtype), alpha=-1, gamma=_FOCUS, reduction="mean"
    )
    return loss


def build(
    *,
    weights: str | None,
    state: Mapping[str, Tensor] | None,
    threshold: float = 0.2,
    supervised: bool = False,
) -> SuperSimpleNet:
    """Build a SuperSimpleNet; see `models.components.base.Build`.

    Args:
        weights: Tag of the backbone's weights.
        state: The backbone's tensors; None leaves it random.
        threshold: Threshold of the Perlin noise: 0.2 for MVTec AD, 0.6 for VisA (the recipe
            ``threshold06``) and with labels.
        supervised: Whether batches bring labels and masks of known defects.

    Raises:
        ValueError: The weights are unknown, or the tensors are not theirs.
    """
    model = SuperSimpleNet(Backbone.of(weights, state, (2, 3)), threshold, supervised)
    return model.to(memory_format=torch.channels_last)
