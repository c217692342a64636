"""EfficientAD (Batzner, Heckler and König, WACV 2024).

A student learns the features of a frozen teacher of patches, on normal images alone, and those of
an autoencoder, which sees the whole image. Where they disagree the image is anomalous: the first
map finds unknown structure, the second unknown arrangements of known structure.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from models.catalog import WEIGHTS, WeightsEntry
from models.components.anomaly_map import of_maps
from models.components.base import AnomalyModel, Batch, Prediction
from models.components.color_jitter import jitter, random_grayscale
from models.components.moments import ChannelStatistics
from models.efficientad.autoencoder import Autoencoder
from models.efficientad.pdn import FEATURES, LAYERS, PATCH, PatchDescriptionNetwork, teacher

GRAYSCALE = 0.3
"""Share of the auxiliary pictures that lose their colors (the paper's algorithm 1)."""

QUANTILES = (0.9, 0.995)
"""Of the maps of held-out images; they become 0 and 0.1."""

P_HARD = 0.999
"""Share of the squared differences that the student's loss passes over (section 3.2)."""

_BORDER = 4
"""Positions at each border of the map that no patch is centered at, for lack of padding."""

_SMALLEST = 1e-12
"""Least distance of two quantiles: of maps that are the same everywhere it is none."""

_TEACHER, _AUTOENCODER = slice(None, FEATURES), slice(FEATURES, None)
"""Channels of the student that imitate the one and the other."""


class EfficientAD(AnomalyModel):
    """Teacher, student and autoencoder.

    Under autocast the loss's forward passes, the teacher's too, run in its precision.

    Attributes:
        statistics: ``(2, 384)`` mean and standard deviation of the teacher's channels on the
            training images; empty before `compute`.
        quantiles: ``(2, 2)`` by map (student's, autoencoder's) and quantile; empty before
            `calibrate`.

    Args:
        taught_by: Frozen, without padding.
        student: Of twice as many channels.
        autoencoder: Of as many.
        weights: Mean and standard deviation that images are normalized with.
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
        """Take the teacher's statistics on normal images."""
        self._gathered.update(self.teacher(self._normalized(batch.get_images())))

    def compute(self) -> None:
        """Set the mean and standard deviation that the teacher's features are normalized with.

        Raises:
            ValueError: No image was seen.
        """
        self.statistics = self._gathered.mean_and_std()
        self._gathered = ChannelStatistics()

    def loss(self, batch: Batch) -> Tensor:
        """Return the scalar training loss of normal images (algorithm 1), the sum of four terms.

        The paper's batch is one image. Of the auxiliary images a share becomes gray. Without them
        the penalty on them is left out, and the student learns to imitate the teacher on anything,
        anomalies too.
        """
        images, auxiliary = batch.get_images(), batch.auxiliary
        count = len(images)
        others = [] if auxiliary is None else [random_grayscale(auxiliary, GRAYSCALE)]
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

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Take the quantiles of both maps over all pixels of held-out normal images.

        Raises:
            ValueError: There are none.
        """
        maps = [self._maps(batch.get_images()).transpose(0, 1).flatten(1) for batch in batches]
        if not maps:
            raise ValueError(
                "EfficientAD normalizes its maps by those of held-out normal images: wanted at "
                "least one, found none. Hold some out of the training images."
            )
        self.quantiles = torch.stack(
            [quantiles(pixels, QUANTILES) for pixels in torch.cat(maps, 1)]
        )

    def predict(self, batch: Batch) -> dict[str, Prediction]:
        """Return anomaly maps (algorithm 2) and their maxima.

        Raises:
            RuntimeError: The model was not calibrated.
        """
        self._check_fitted(self.quantiles, "quantiles of held-out images")
        start, end = self.quantiles.view(2, 2, 1, 1).unbind(dim=1)
        scale = 0.1 / (end - start).clamp(min=_SMALLEST)
        normalized = scale * (self._maps(batch.get_images()) - start)
        combined = F.pad(normalized.mean(dim=1, keepdim=True), (_BORDER,) * 4)
        maps = F.interpolate(combined, size=batch.size, mode="bilinear", align_corners=False)
        return {"score": of_maps(maps[:, 0])}

    def _maps(self, images: Tensor) -> Tensor:
        """``(B, 2, h, w)`` float32: mean squared differences to the teacher, to the autoencoder."""
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
        self._check_fitted(self.statistics, "statistics of its teacher's features")
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


def hard_feature_loss(distance: Tensor, quantile: float = P_HARD) -> Tensor:
    """Mean of the squared differences at or above their own quantile, of the whole batch at once.

    An interpolated quantile lies between two neighbors in rank, so that what reaches it are all
    values from the upper neighbor on. Hence no full sort.

    Args:
        distance: Squared differences ``(B, C, h, w)``.
        quantile: In [0, 1].
    """
    values = distance.detach().flatten()
    kept = len(values) - math.ceil(quantile * (len(values) - 1))
    least = values.topk(kept, sorted=False).values.min()
    hard = distance >= least
    return (distance * hard).sum() / hard.sum()


def quantiles(values: Tensor, wanted: Sequence[float]) -> Tensor:
    """Exact quantiles, linear between neighbors in rank.

    `torch.quantile` does the same, of up to 16 million values.

    Args:
        values: ``(N,)``, any number of them.
        wanted: Quantiles in [0, 1].

    Returns:
        ``(Q,)`` in the values' precision.
    """
    ordered = values.sort().values
    found: list[Tensor] = []
    for quantile in wanted:
        place = quantile * (len(ordered) - 1)
        low, high = ordered[math.floor(place)].double(), ordered[math.ceil(place)].double()
        found.append(low + (place - math.floor(place)) * (high - low))
    return torch.stack(found).to(values.dtype)


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
