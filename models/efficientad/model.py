"""EfficientAD (Batzner, Heckler and König, WACV 2024).

A student learns the features of a frozen teacher of patches, on normal images alone, and those of
an autoencoder, which sees the whole image. Where they disagree the image is anomalous: the first
map finds unknown structure, the second unknown arrangements of known structure.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.catalog import WEIGHTS, WeightsEntry
from models.components.anomaly_map import of_maps
from models.components.base import Prediction
from models.components.color_jitter import jitter, random_grayscale
from models.components.moments import ChannelStatistics
from models.efficientad.autoencoder import Autoencoder
from models.efficientad.checkpoint import check
from models.efficientad.losses import hard_feature_loss, quantiles
from models.efficientad.pdn import FEATURES, LAYERS, PATCH, PatchDescriptionNetwork, teacher

GRAYSCALE = 0.3
"""Share of the auxiliary pictures that lose their colors (the paper's algorithm 1)."""

QUANTILES = (0.9, 0.995)
"""Of the maps of held-out images; they become 0 and 0.1."""

_BORDER = 4
"""Positions at each border of the map that no patch is centerd at, for lack of padding."""

_SMALLEST = 1e-12
"""Least distance of two quantiles: of maps that are the same everywhere it is none."""

_TEACHER, _AUTOENCODER = slice(None, FEATURES), slice(FEATURES, None)
"""Channels of the student that imitate the one and the other."""


class EfficientAD(nn.Module):
    """Teacher, student and autoencoder.

    Under autocast the losses' forward passes, the teacher's too, run in its precision; statistics,
    calibration and predictions are float32 always.

    Attributes:
        statistics: ``(2, 384)`` mean and standard deviation of the teacher's channels on the
            training images; None before `compute`.
        quantiles: ``(2, 2)`` by map (student's, autoencoder's) and quantile; None before
            `calibrate`.

    Args:
        taught_by: Frozen, without padding.
        student: Of twice as many channels.
        autoencoder: Of as many.
        weights: Mean and standard deviation that images are normalized with.
    """

    def __init__(
        self,
        taught_by: PatchDescriptionNetwork,
        student: PatchDescriptionNetwork,
        autoencoder: Autoencoder,
        weights: WeightsEntry,
    ) -> None:
        super().__init__()
        self.teacher, self.student, self.autoencoder = taught_by, student, autoencoder
        self.statistics: Tensor | None
        self.quantiles: Tensor | None
        self.register_buffer("statistics", None)
        self.register_buffer("quantiles", None)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(weights.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(weights.std).view(1, 3, 1, 1))
        self._gathered = ChannelStatistics()

    @torch.no_grad()
    def update(self, images: Tensor) -> None:
        """Take the teacher's statistics of normal images ``(B, 3, H, W)`` in [0, 1]."""
        with torch.autocast(images.device.type, enabled=False):
            self._gathered.update(self.teacher(self._normalized(images)))

    def compute(self) -> None:
        """Make of all absorbed images what the teacher's features are normalized with.

        Raises:
            RuntimeError: No image was absorbed.
        """
        self.statistics = self._gathered.mean_and_std()
        self._gathered = ChannelStatistics()

    def loss(self, images: Tensor) -> Tensor:
        """As `loss_beside` without the penalty on auxiliary pictures, which the paper's loss has.

        Without it the student learns to imitate the teacher on anything, anomalies too.
        """
        return self._loss(images, None)

    def loss_beside(self, images: Tensor, auxiliary: Tensor) -> Tensor:
        """Scalar training loss of normal images (algorithm 1), the sum of four.

        Args:
            images: ``(B, 3, H, W)`` in [0, 1]; in the paper B = 1.
            auxiliary: ``(B, 3, H, W)`` in [0, 1], pictures of anything, in their own colors: here
                a share of them becomes gray.
        """
        return self._loss(images, random_grayscale(auxiliary, GRAYSCALE))

    def _loss(self, images: Tensor, auxiliary: Tensor | None) -> Tensor:
        if not self.training:
            self.train()
        count = len(images)
        others = [] if auxiliary is None else [auxiliary]
        # One pass of the student over all of them, and of its halves over those that want them.
        pictures = self._normalized(torch.cat([jitter(images), images, *others]))
        with torch.no_grad():
            of_jittered, target = self._taught(pictures[: 2 * count]).split(count)
        hidden = self.student.trunk(pictures)
        imitated = self.student.head(hidden[count:], _TEACHER).float()
        echoed = self.student.head(hidden[:count], _AUTOENCODER).float()
        rebuilt = self.autoencoder(pictures[:count], target.shape[-2:]).float()
        loss = hard_feature_loss((target - imitated[:count]).square())
        loss = loss + F.mse_loss(rebuilt, of_jittered) + F.mse_loss(echoed, rebuilt)
        return loss if auxiliary is None else loss + imitated[count:].square().mean()

    @torch.no_grad()
    def calibrate(self, batches: Iterable[Tensor]) -> None:
        """Take the quantiles of both maps over all pixels of held-out normal images.

        Raises:
            ValueError: There are none.
        """
        maps = [self._maps(images).transpose(0, 1).flatten(1) for images in batches]
        if not maps:
            raise ValueError(
                "EfficientAD normalizes its maps by those of held-out normal images: wanted at "
                "least one, found none. Hold some out of the training images."
            )
        self.quantiles = torch.stack(
            [quantiles(pixels, QUANTILES) for pixels in torch.cat(maps, 1)]
        )

    @torch.no_grad()
    def predict(self, images: Tensor) -> dict[str, Prediction]:
        """Anomaly maps (algorithm 2) of images ``(B, 3, H, W)`` in [0, 1], and their maxima.

        Raises:
            RuntimeError: The model was not calibrated.
        """
        if self.quantiles is None:
            raise RuntimeError(
                "EfficientAD predicts with the quantiles of held-out images: calibrate it first."
            )
        start, end = self.quantiles.view(2, 2, 1, 1).unbind(dim=1)
        with torch.autocast(images.device.type, enabled=False):
            scale = 0.1 / (end - start).clamp(min=_SMALLEST)
            normalized = scale * (self._maps(images) - start)
            combined = F.pad(normalized.mean(dim=1, keepdim=True), (_BORDER,) * 4)
            maps = F.interpolate(
                combined, size=tuple(images.shape[-2:]), mode="bilinear", align_corners=False
            )
        return {"score": of_maps(maps[:, 0])}

    def _maps(self, images: Tensor) -> Tensor:
        """``(B, 2, h, w)`` float32: mean squared differences to the teacher, to the autoencoder."""
        if self.training:
            self.eval()
        with torch.autocast(images.device.type, enabled=False):
            normalized = self._normalized(images)
            target, student = self._taught(normalized), self.student(normalized)
            rebuilt = self.autoencoder(normalized, target.shape[-2:])
            return torch.stack(
                [
                    (target - student[:, _TEACHER]).square().mean(dim=1),
                    (rebuilt - student[:, _AUTOENCODER]).square().mean(dim=1),
                ],
                dim=1,
            )

    def _taught(self, normalized: Tensor) -> Tensor:
        """The teacher's features, normalized by their statistics."""
        if self.statistics is None:
            raise RuntimeError(
                "EfficientAD normalizes its teacher's features by their statistics on the training "
                "images: absorb these and finish first."
            )
        mean, std = self.statistics.view(2, 1, -1, 1, 1)
        features: Tensor = (self.teacher(normalized).float() - mean) / std
        return features

    def _normalized(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if min(height, width) < PATCH:
            raise ValueError(
                f"EfficientAD describes patches of {PATCH}×{PATCH} pixels: wanted images of at "
                f"least that size, found {height}×{width}. Choose a larger image size."
            )
        normalized = (images.float() - self.mean) / self.std
        return normalized.contiguous(memory_format=torch.channels_last)

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Those of student and autoencoder."""
        return [*self.student.parameters(), *self.autoencoder.parameters()]

    def checkpoint(self) -> dict[str, Any]:
        """All but the teacher; statistics and quantiles are None before there are any."""
        return {
            "student": self.student.state_dict(),
            "autoencoder": self.autoencoder.state_dict(),
            "statistics": self.statistics,
            "quantiles": self.quantiles,
        }

    def load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Take back what `checkpoint` gave, wholly or not at all.

        Raises:
            ValueError: It is another model's.
        """
        parts = {"student": self.student, "autoencoder": self.autoencoder}
        shapes = {"statistics": (2, FEATURES), "quantiles": (2, 2)}
        check(checkpoint, parts, shapes)
        for name, part in parts.items():
            part.load_state_dict(checkpoint[name])
        for name in shapes:
            value = checkpoint[name]
            setattr(self, name, None if value is None else value.to(self.mean.device, copy=True))


def build(
    *, weights: str | None, state: Mapping[str, Tensor] | None, size: str = "small"
) -> EfficientAD:
    """Build an EfficientAD; see `models.components.base.Build`.

    Args:
        weights: Tag of the teacher's weights.
        state: The teacher's tensors, see `models.efficientad.pdn.teacher`; None leaves it random.
        size: ``small`` or ``medium``, of teacher and student.

    Raises:
        ValueError: An unknown name, or tensors that are not such a teacher's.
    """
    if size not in LAYERS:
        raise ValueError(f"Unknown size '{size}': there are {', '.join(LAYERS)}.")
    if weights not in WEIGHTS or WEIGHTS[weights].architecture != f"pdn_{size}":
        raise ValueError(
            f"The {size} EfficientAD's teacher is a patch description network: wanted weights of a "
            f"pdn_{size}, such as pdn_{size}.distilled, found '{weights}'."
        )
    entry = WEIGHTS[weights]
    model = EfficientAD(
        teacher(size, entry, state),
        PatchDescriptionNetwork(size, 2 * FEATURES),
        Autoencoder(FEATURES),
        entry,
    )
    return model.to(memory_format=torch.channels_last)
