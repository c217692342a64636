"""Distill a patch description network from a CNN's features, as EfficientAD's teacher was made.

Batzner, Heckler and König, WACV 2024, section 3.1 and algorithm 3 of its appendix. Training is the
harness's own loop; this file holds the network, the loss and what a resumed run must match.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn import functional as F

from bench.run.job import ProgressCallback
from bench.run.weights_training.common import (
    SEED,
    TrainedWeights,
    check_plan,
    protocol_of,
    split_indices,
    train_weights,
)
from bench.run.weights_training.patch_targets import PatchTargets
from datasets_lib.augment.rows import select
from models.catalog import WEIGHTS, Recipe
from models.components.color_jitter import grayscale
from models.components.moments import ChannelStatistics
from models.components.winograd import use_winograd
from models.efficientad.pdn import PatchDescriptionNetwork

RECIPE = Recipe("adam", "EfficientAD, appendix, algorithm 3", lr=1e-4, weight_decay=1e-5)

GRAYSCALE = 0.1
"""Probability that a training image loses its colors."""

STRIDE = 4
"""Stride of a padding network; the side of its input is a multiple of 8, twice this."""

MAX_NORMALIZATION_IMAGES = 10_000
"""Maximum number of images that the mean and deviation of the targets are computed from."""


@dataclass(frozen=True)
class DistillationPlan:
    """What to distill; a killed distillation is resumed only under the same plan.

    Attributes:
        size: Size of the network, ``small`` or ``medium``.
        backbone: Tag and hash of the backbone's weights.
        layers: Tapped layers of the backbone.
        images: Number and source of the images.
        side: Side of the network's input in pixels; the backbone sees twice as many.
        steps: Number of optimizer steps.
        batch: Batch size.
    """

    size: str
    backbone: str
    layers: tuple[int, ...]
    images: str
    side: int
    steps: int
    batch: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, as a checkpoint holds them."""
        return asdict(self) | {"layers": list(self.layers)}


def distill(
    plan: DistillationPlan,
    images: Tensor,
    targets: PatchTargets,
    device: torch.device,
    checkpoint: Path,
    report: ProgressCallback,
) -> TrainedWeights:
    """Distill a network.

    A tenth of the images, at most 200, is held out for evaluation. Features are normalized by
    channel, so that predicting the mean has a loss of about 1.

    Args:
        plan: What to distill.
        images: uint8 ``(N, 3, 2 S, 2 S)``, at least two, on the host.
        targets: Target features, on the device.
        device: Where to compute.
        checkpoint: File for the state of a long training; resumed from if it exists. The caller
            removes it once the result is safe.
        report: Called by the training loop.

    Raises:
        WeightsTrainingError: The loss became infinite or NaN, or the checkpoint is damaged or
            belongs to another plan.
    """
    training, held_out = split_indices(len(images))
    student = _TrainedStudent(plan, device, checkpoint)
    objective = _Objective(student, images, training, targets)
    protocol = protocol_of(RECIPE, plan.side, plan.steps, min(plan.batch, len(training)))
    fitted = train_weights(student, objective, protocol, device, report, checkpoint)
    trained, trivial = objective.evaluate(held_out)
    return TrainedWeights(**fitted, held_out=trained, trivial=trivial)


class _TrainedStudent(nn.Module):
    """The network in training, with the normalization of its targets.

    Attributes:
        statistics: ``(2, C)`` mean and standard deviation of the targets' channels; empty until
            they are computed. They are part of the checkpoint, because they take as long as a tenth
            of the training.
    """

    def __init__(self, plan: DistillationPlan, device: torch.device, checkpoint: Path) -> None:
        super().__init__()
        self.plan, self.device, self._checkpoint = plan, device, checkpoint
        torch.manual_seed(SEED)
        network = PatchDescriptionNetwork(plan.size, padding=True).to(device)
        self.network = network.to(memory_format=torch.channels_last)
        use_winograd(self.network)
        entry = WEIGHTS[f"pdn_{plan.size}.distilled"]
        self._mean, self._std = (
            torch.tensor(values, device=device).view(1, 3, 1, 1)
            for values in (entry.mean, entry.std)
        )
        self.statistics = torch.empty(0, device=device)

    def forward(self, images: Tensor) -> Tensor:
        """Return features ``(B, C, S / 4, S / 4)`` of images ``(B, 3, 2 S, 2 S)`` in [0, 1]."""
        small = F.interpolate(
            images, (self.plan.side,) * 2, mode="bilinear", align_corners=False, antialias=True
        )
        normalized = (small - self._mean) / self._std
        described: Tensor = self.network(normalized.contiguous(memory_format=torch.channels_last))
        return described

    def trainable_parameters(self) -> list[Parameter]:
        """Return the network's parameters."""
        return list(self.network.parameters())

    def parameter_groups(self) -> list[tuple[float, list[Parameter]]]:
        """Return them as one group."""
        return [(1.0, self.trainable_parameters())]

    def checkpoint(self) -> dict[str, Any]:
        """Return the network's state, the targets' statistics and the plan."""
        return {
            "plan": self.plan.as_dict(),
            "network": self.network.state_dict(),
            "statistics": self.statistics,
        }

    def load_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Load what `checkpoint` returned.

        Raises:
            WeightsTrainingError: The state was saved under another plan.
        """
        check_plan(self.plan.as_dict(), state["plan"], self._checkpoint)
        self.network.load_state_dict(state["network"])
        self.statistics = state["statistics"]


class _Objective:
    """Mean squared error to the normalized targets, as the training loop asks for it.

    Args:
        student: The network, on its device.
        images: uint8 ``(N, 3, 2 S, 2 S)``.
        training: Indices of the images to train on.
        targets: Target features, on the device.

    Attributes:
        count: Number of images to train on.
    """

    def __init__(
        self, student: _TrainedStudent, images: Tensor, training: Tensor, targets: PatchTargets
    ) -> None:
        self.count = len(training)
        self._student, self._images = student, images
        self._training, self._targets = training, targets

    def batches(self, order: Tensor, batch: int, first: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the indices of each batch, and which of its images lose their colors."""
        if not len(self._student.statistics):
            self._student.statistics = self._target_statistics(first * batch + len(order), batch)
        # Drawn for the whole training at once: a resumed training draws the same.
        generator = torch.Generator().manual_seed(SEED)
        gray = torch.rand(first * batch + len(order), generator=generator) < GRAYSCALE
        index = self._training[order]
        gray = gray[first * batch :]
        yield from zip(torch.split(index, batch), torch.split(gray, batch), strict=True)

    def gradient(self, batch: tuple[Tensor, Tensor], step: int) -> Tensor:
        """Return the detached loss of a batch; its gradient is left in the parameters."""
        index, gray = batch
        images = self._batch(index)
        gray = gray.to(images.device).view(-1, 1, 1, 1)
        images = torch.where(gray, grayscale(images), images)
        target = self._normalized_targets(images)
        loss = F.mse_loss(self._student(images), target)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def maybe_compile(self, step_seconds: float, steps_left: int) -> None:
        """Compile nothing: the backbone's forward pass takes most of a step."""

    @torch.no_grad()
    def evaluate(self, index: Tensor) -> tuple[float, float]:
        """Return the loss of the network, and of predicting the mean, on held-out images."""
        totals = torch.zeros(2)
        for part in torch.split(index, self._student.plan.batch):
            images = self._batch(part)
            target = self._normalized_targets(images)
            errors = (self._student(images) - target, target)
            totals += len(part) * torch.stack([error.square().mean().cpu() for error in errors])
        trained, trivial = (totals / len(index)).tolist()
        return trained, trivial

    def _target_statistics(self, images_seen: int, batch: int) -> Tensor:
        """Return the targets' mean and deviation, from a tenth of the images that training sees."""
        count = min(MAX_NORMALIZATION_IMAGES, max(10 * batch, images_seen // 10))
        statistics = ChannelStatistics()
        for part in torch.split(self._training[:count], batch):
            statistics.update(self._targets(self._batch(part), self._grid))
        return statistics.mean_and_std()

    def _normalized_targets(self, images: Tensor) -> Tensor:
        mean, std = self._student.statistics.to(images.device).view(2, 1, -1, 1, 1)
        return (self._targets(images, self._grid) - mean) / std  # type: ignore[no-any-return]

    @property
    def _grid(self) -> tuple[int, int]:
        side = self._student.plan.side // STRIDE
        return side, side

    def _batch(self, index: Tensor) -> Tensor:
        """Return images ``(B, 3, 2 S, 2 S)`` in [0, 1], on the device."""
        return select(self._images, index).to(self._student.device).float() / 255
