"""EfficientAD (Batzner, Heckler and König, WACV 2024).

A student learns, on normal images, the features of a frozen patch-wise teacher and those of an
autoencoder, which sees the whole image. Where they disagree, the image is anomalous: the first map
finds unknown structure, the second unknown arrangements of known structure.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.catalog import WEIGHTS, WeightsEntry
from models.components.anomaly_map import of_maps, resize_maps
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.color_jitter import jitter, random_grayscale
from models.components.errors import ImageSizeError, TooFewImagesError
from models.components.moments import ChannelStatistics
from models.efficientad.autoencoder import Autoencoder
from models.efficientad.pdn import FEATURES, LAYERS, PATCH, PatchDescriptionNetwork, teacher

GRAYSCALE = 0.3
"""Probability that an auxiliary image is converted to gray (the paper's algorithm 1)."""

QUANTILES = (0.9, 0.995)
"""Quantiles of the maps of held-out images that are mapped to 0 and 0.1."""

P_HARD = 0.999
"""Share of the squared differences, the smallest, that the student's loss ignores (section 3.2)."""

_BORDER = 4
"""Width of the map's border, at which no patch is centered because networks do not pad."""

_SMALLEST = 1e-12
"""Minimum difference of two quantiles, which coincide for constant maps."""

_TEACHER, _AUTOENCODER = slice(None, FEATURES), slice(FEATURES, None)
"""Channels of the student that predict each of them."""


class EfficientAD(AnomalyModel):
    """Teacher, student and autoencoder.

    Under autocast, all forward passes of the loss, including the teacher's, run in its precision.

    Attributes:
        statistics: ``(2, 384)`` mean and standard deviation of the teacher's channels over the
            training images; empty before `compute`.
        quantiles: ``(2, 2)`` quantiles by map (student's, autoencoder's) and level; empty before
            `calibrate`.

    Args:
        taught_by: Frozen teacher without padding.
        student: Network with twice the teacher's channels.
        autoencoder: Network with the teacher's channels.
        weights: Entry with the mean and standard deviation for normalizing images.
    """

    frozen_parts = ("teacher",)

    def __init__(
        self,
        taught_by: PatchDescriptionNetwork,
        student: PatchDescriptionNetwork,
        autoencoder: Autoencoder,
        weights: WeightsEntry,
    ) -> None:
        super().__init__()
        self.teacher, self.student, self.autoencoder = taught_by, student, autoencoder
        self.statistics: Tensor
        self.quantiles: Tensor
        self.register_dynamic_buffer("statistics", 2, FEATURES)
        self.register_dynamic_buffer("quantiles", 2, 2)
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(weights.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(weights.std).view(1, 3, 1, 1), persistent=False)
        self._gathered = ChannelStatistics()

    def update(self, batch: Batch) -> None:
        """Add the teacher's features of normal images to its channel statistics."""
        self._gathered.update(self.teacher(self._normalized(batch.get_images())))

    def compute(self) -> None:
        """Set the mean and standard deviation for normalizing the teacher's features.

        Raises:
            ValueError: No image was added.
        """
        self.statistics = self._gathered.mean_and_std()
        self._gathered = ChannelStatistics()

    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar training loss of normal images (algorithm 1), the sum of four terms.

        The paper's batch is one image. Without auxiliary images the penalty on them is omitted, and
        the student learns to imitate the teacher on anything, including anomalies. The entry's
        ``auxiliary_fit`` makes them what the official code sees: the middle of pictures of twice
        the size.
        """
        images, auxiliary = batch.get_images(), batch.auxiliary
        count, draws = len(images), batch.get_draws()
        others = [] if auxiliary is None else [random_grayscale(auxiliary, draws, GRAYSCALE)]
        # Jittered, plain and auxiliary images. The student's trunk runs once for all of them, each
        # half of its head only for the images that need it.
        pictures = self._normalized(torch.cat([jitter(images, draws), images, *others]))
        with torch.no_grad():
            jittered_target, target = self._taught(pictures[: 2 * count]).split(count)
        hidden = self.student.trunk(pictures)
        teacher_part = self.student.head(hidden[count:], _TEACHER).float()
        autoencoder_part = self.student.head(hidden[:count], _AUTOENCODER).float()
        rebuilt = self.autoencoder(pictures[:count], target.shape[-2:]).float()
        loss = hard_feature_loss((target - teacher_part[:count]).square())
        loss = loss + F.mse_loss(rebuilt, jittered_target) + F.mse_loss(autoencoder_part, rebuilt)
        return loss if auxiliary is None else loss + teacher_part[count:].square().mean()

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Take the quantiles of both maps over all pixels of held-out normal images.

        Raises:
            ValueError: There are no held-out images.
        """
        maps = [self._maps(batch.get_images()).transpose(0, 1).flatten(1) for batch in batches]
        if not maps:
            raise TooFewImagesError(
                "EfficientAD normalizes its maps by those of held-out normal images: wanted at "
                "least one, found none. Hold some out of the training images."
            )
        self.quantiles = torch.stack(
            [quantiles(pixels, QUANTILES) for pixels in torch.cat(maps, 1)]
        )

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return anomaly maps (algorithm 2) and their maxima.

        As in the official code, the border of the maps is 0, so no score is below 0.

        Raises:
            RuntimeError: The model was not calibrated.
        """
        self._check_fitted(self.quantiles, "quantiles of held-out images")
        start, end = self.quantiles.view(2, 2, 1, 1).unbind(dim=1)
        scale = 0.1 / (end - start).clamp(min=_SMALLEST)
        normalized = scale * (self._maps(batch.get_images()) - start)
        combined = F.pad(normalized.mean(dim=1), (_BORDER,) * 4)
        return {"score": of_maps(resize_maps(combined, batch.size))}

    def _maps(self, images: Tensor) -> Tensor:
        """Return ``(B, 2, h, w)`` mean squared differences to the teacher and the autoencoder."""
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
        """Return the teacher's features, normalized by their statistics."""
        self._check_fitted(self.statistics, "statistics of its teacher's features")
        mean, std = self.statistics.view(2, 1, -1, 1, 1)
        features: Tensor = (self.teacher(normalized).float() - mean) / std
        return features

    def _normalized(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if min(height, width) < PATCH:
            raise ImageSizeError(
                f"EfficientAD describes patches of {PATCH}×{PATCH} pixels: wanted images of at "
                f"least that size, found {height}×{width}. Choose a larger image size."
            )
        normalized = (images.float() - self.mean) / self.std
        return normalized.contiguous(memory_format=torch.channels_last)


def hard_feature_loss(distance: Tensor, quantile: float = P_HARD) -> Tensor:
    """Return the mean of the squared differences at or above their quantile over the whole batch.

    An interpolated quantile lies between two values adjacent in rank, so the values that reach it
    are those from the upper one on: `topk` finds it without a full sort.

    Args:
        distance: Squared differences ``(B, C, h, w)``.
        quantile: Level in [0, 1].
    """
    values = distance.detach().flatten()
    # The upper neighbor has rank ⌈q (N − 1)⌉, counted from 0.
    count = len(values) - math.ceil(quantile * (len(values) - 1))
    least = values.topk(count, sorted=False).values.min()
    hard = distance >= least
    return (distance * hard).sum() / hard.sum()


def quantiles(values: Tensor, levels: Sequence[float]) -> Tensor:
    """Return exact quantiles with linear interpolation.

    Unlike `torch.quantile`, which is limited to 16 million values, takes any number of them.

    Args:
        values: ``(N,)`` values.
        levels: Levels in [0, 1].

    Returns:
        ``(Q,)`` quantiles in the precision of the values.

    >>> quantiles(torch.tensor([3.0, 1.0, 2.0]), [0.5, 0.75])
    tensor([2.0000, 2.5000])
    """
    ordered = values.sort().values
    results: list[Tensor] = []
    for level in levels:
        place = level * (len(ordered) - 1)
        low, high = ordered[math.floor(place)].double(), ordered[math.ceil(place)].double()
        results.append(low + (place - math.floor(place)) * (high - low))
    return torch.stack(results).to(values.dtype)


def build(
    *, weights: str | None, state: Mapping[str, Tensor] | None, size: str = "small"
) -> EfficientAD:
    """Build an EfficientAD; see `models.components.base.Build`.

    Args:
        weights: Tag of the teacher's weights.
        state: Teacher's tensors, see `models.efficientad.pdn.teacher`; None leaves it random.
        size: Size of teacher and student, ``small`` or ``medium``.

    Raises:
        ValueError: A name is unknown, or the tensors are not those of such a teacher.
    """
    if size not in LAYERS:
        raise ValueError(f"Unknown size '{size}': choose from {', '.join(LAYERS)}.")
    if weights not in WEIGHTS or WEIGHTS[weights or ""].architecture != f"pdn_{size}":
        raise ValueError(
            f"The {size} EfficientAD's teacher is a patch description network: wanted weights of a "
            f"pdn_{size}, such as pdn_{size}.distilled, found '{weights}'."
        )
    entry = WEIGHTS[weights or ""]
    model = EfficientAD(
        teacher(size, entry, state),
        PatchDescriptionNetwork(size, 2 * FEATURES),
        Autoencoder(FEATURES),
        entry,
    )
    return model.to(memory_format=torch.channels_last)
