"""What every training of weights shares: the split of images, the training and the result."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypedDict

import torch
from torch import Tensor, nn

from bench.protocol import Protocol as CaseProtocol
from bench.run.job import ProgressCallback
from bench.run.training.loop import (
    DamagedCheckpointError,
    NonFiniteLossError,
    Trainable,
    TrainingResult,
    fit,
)
from bench.run.training.objective import Objective
from models.catalog import Recipe

SEED = 0
"""Seed of the weights, of the order of images and of the images that are held out."""

_MAX_HELD_OUT = 200


class WeightsTrainingError(Exception):
    """The training cannot go on; the message says why and what to do."""


class FittedWeights(TypedDict):
    """The fields of `TrainedWeights` that need no held-out images."""

    state: dict[str, Tensor]
    first: float
    last: float
    resumed_at: int


@dataclass(frozen=True)
class TrainedWeights:
    """The result of a training of weights.

    Attributes:
        state: Tensors of the network, on the CPU.
        first: Mean loss over the first hundredth of the steps.
        last: Mean loss over the last hundredth of the steps.
        held_out: Loss on images that were not trained on.
        trivial: Loss of predicting each channel's mean on those images.
        resumed_at: Step at which training was resumed after a kill; 0 for an unbroken run.
    """

    state: dict[str, Tensor]
    first: float
    last: float
    held_out: float
    trivial: float
    resumed_at: int

    @property
    def explained(self) -> float:
        """Return the share of the targets' variance on held-out images that is explained."""
        return 1 - self.held_out / self.trivial


class TrainableWeights(Trainable, Protocol):
    """What is trained: a network, with what its training needs besides."""

    @property
    def network(self) -> nn.Module:
        """Return the network whose weights are wanted."""


def train_weights(
    model: TrainableWeights,
    objective: Objective,
    protocol: CaseProtocol,
    device: torch.device,
    report: ProgressCallback,
    checkpoint: Path,
) -> FittedWeights:
    """Train a network by the harness's own loop.

    Args:
        model: The network in training, on its device.
        objective: The loss of its training images.
        protocol: Recipe and budget, from `protocol_of`.
        device: Where to compute.
        report: Called by the training loop.
        checkpoint: File for the state of a long training; resumed from if it exists. The caller
            removes it once the result is safe.

    Raises:
        WeightsTrainingError: The loss became infinite or NaN, or the checkpoint is damaged or
            belongs to another plan.
    """
    result = fit_or_explain(model, objective, protocol, device, report, checkpoint)
    first, last = first_and_last(result.losses)
    return FittedWeights(
        state={name: t.cpu().contiguous() for name, t in model.network.state_dict().items()},
        first=first,
        last=last,
        resumed_at=result.resumed_at,
    )


def fit_or_explain(
    model: Trainable,
    objective: Objective,
    protocol: CaseProtocol,
    device: torch.device,
    report: ProgressCallback,
    checkpoint: Path,
) -> TrainingResult:
    """Train a model; see `bench.run.training.loop.fit`.

    Raises:
        WeightsTrainingError: The loss became infinite or NaN, or the checkpoint is damaged.
    """
    try:
        return fit(
            *(model, objective, protocol),
            seed=SEED,
            device=device,
            report=report,
            checkpoint=checkpoint,
        )
    except NonFiniteLossError as error:
        raise WeightsTrainingError(
            f"{str(error).partition(' (')[0]}; nothing has been saved since. The images or the "
            "backbone's weights must be damaged: check them."
        ) from error
    except DamagedCheckpointError as error:
        raise WeightsTrainingError(str(error)) from error


def check_plan(plan: Mapping[str, Any], saved: Mapping[str, Any], checkpoint: Path) -> None:
    """Raise `WeightsTrainingError` where the plan in a checkpoint is not the one asked for."""
    differences = [
        f"{name} was {saved.get(name)}, now {value}"
        for name, value in plan.items()
        if saved.get(name) != value
    ]
    if differences:
        raise WeightsTrainingError(
            f"An unfinished run with other settings is in the way, {checkpoint}: "
            f"{', '.join(differences)}. Use the same settings to resume it, remove it to start "
            "over, or name another --out."
        )


def first_and_last(losses: Sequence[float]) -> tuple[float, float]:
    """Return the mean losses over the first and over the last hundredth of the steps."""
    hundredth = math.ceil(len(losses) / 100)
    return sum(losses[:hundredth]) / hundredth, sum(losses[-hundredth:]) / hundredth


def split_indices(count: int) -> tuple[Tensor, Tensor]:
    """Return training and held-out indices, drawn at random: datasets are sorted by class.

    A tenth of the images, at most 200, is held out.
    """
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(SEED))
    held_out = min(_MAX_HELD_OUT, max(1, count // 10))
    return drawn[held_out:], drawn[:held_out]


def protocol_of(recipe: Recipe, side: int, steps: int, batch: int) -> CaseProtocol:
    """Return a protocol with a budget of steps of a recipe, on images of a given side."""
    return CaseProtocol(
        profile="paper",
        recipe_name="distillation",
        recipe=replace(recipe, batch_size=batch, images=steps * batch),
        options={},
        image_size=side,
        crop=None,
        augmentation="default",
        precision="float32",
        images_seen=steps * batch,
        train_limit=None,
        test_limit=None,
        calibration=False,
    )
