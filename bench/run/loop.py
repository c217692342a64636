"""The training loop: device, precision, schedule, clipping, NaN stop, progress, checkpoints.

A model file holds only what its paper says; everything else about training is here.
"""

import logging
import math
import pickle
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.protocol import Protocol
from bench.run.clock import StepClock
from bench.run.frozen import FrozenFeatures, frozen_features
from bench.run.job import Report
from bench.run.optimisation import Order, build_optimizer, learning_rate_factor
from bench.run.saving import save_whole
from models.catalog import Recipe
from models.interface import FrozenFeatureModel, GradientAnomalyModel

_log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 300.0
"""A killed case loses at most this much training."""

_CURVE_POINTS = 200


class NonFiniteLossError(Exception):
    """The loss became NaN or infinite."""


class DamagedCheckpointError(Exception):
    """A killed run's checkpoint cannot be taken up."""


@dataclass
class Fit:
    """What training left beside the model.

    Attributes:
        steps: Optimiser steps taken, those before a resume included.
        images_seen: Images shown to the model.
        losses: Loss of every step.
        step_seconds: Duration of every step, but for those lost to a kill.
        resumed_at: Step training was taken up at after a kill; 0 for an unbroken run.
        frozen: Whether a frozen part's features were computed once, beforehand.
    """

    steps: int = 0
    images_seen: int = 0
    losses: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    resumed_at: int = 0
    frozen: bool = False

    def curve(self) -> list[list[float]]:
        """At most 200 points ``[images seen, mean loss since the last point]``."""
        chunk = max(1, math.ceil(len(self.losses) / _CURVE_POINTS))
        batch = self.images_seen / max(1, self.steps)
        return [
            [min(start + chunk, len(self.losses)) * batch, sum(part) / len(part)]
            for start in range(0, len(self.losses), chunk)
            if (part := self.losses[start : start + chunk])
        ]


def fit(
    model: GradientAnomalyModel,
    images: Tensor,
    protocol: Protocol,
    *,
    seed: int,
    device: torch.device,
    report: Report,
    checkpoint: Path,
) -> Fit:
    """Train a model on normal images.

    Args:
        model: On its device.
        images: ``(N, 3, S, S)`` uint8, on the device or on the host.
        protocol: Recipe and budget. Batches are cut from a stream of shuffled passes, so that every
            batch is full and the budget in images is met to within one batch.
        seed: Of the order of images.
        device: Where the model is.
        report: Called at every step.
        checkpoint: Where to keep the state of a long training; taken up if it is there. It stays
            when training ends, for the caller to remove once the case is safe.

    Raises:
        NonFiniteLossError: Training diverged.
    """
    recipe = protocol.recipe
    batch = min(recipe.batch_size, len(images))
    steps = max(1, math.ceil(protocol.total_images(len(images)) / batch))
    optimizer = build_optimizer(recipe, model)
    warmup = round(steps * recipe.warmup_epochs / recipe.epochs)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate_factor(step, steps, warmup, recipe.schedule)
    )
    order = Order(len(images), batch, seed)
    trainer = _Trainer(model, optimizer, schedule, order, protocol, device, images)
    result = trainer.resume(checkpoint)
    if protocol.augmentation == "default" and steps * batch > len(images):
        result.frozen = trainer.compute_frozen(report)
    clock = StepClock(device)
    saved = time.monotonic()
    pending: list[Tensor] = []
    check_every = 1 if device.type == "cpu" else 20
    for step in range(result.steps, steps):
        clock.start()
        pending.append(trainer.step())
        clock.stop()
        result.steps, result.images_seen = step + 1, (step + 1) * batch
        if len(pending) == check_every or step + 1 == steps:
            result.losses += _finite_losses(pending, step + 1, recipe)
            pending.clear()
            report("train", {"step": step + 1, "steps": steps, "loss": result.losses[-1]})
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                result.step_seconds += clock.seconds()
                trainer.save(checkpoint, result)
                saved = time.monotonic()
    result.step_seconds += clock.seconds()
    return result


@dataclass
class _Trainer:
    model: GradientAnomalyModel
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    order: Order
    protocol: Protocol
    device: torch.device
    images: Tensor
    frozen: FrozenFeatures | None = None

    def compute_frozen(self, report: Report) -> bool:
        """Compute a frozen part's features beforehand, where there is one and they fit."""
        with autocast(self.device, self.protocol):
            self.frozen = frozen_features(
                self.model, self.images, lambda chunk: to_float(chunk, self.device), report
            )
        return self.frozen is not None

    def step(self) -> Tensor:
        """One optimiser step; the detached loss stays on the device."""
        index = next(self.order).to(self.images.device, non_blocking=True)
        with autocast(self.device, self.protocol):
            loss = self._loss(index)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.protocol.recipe.grad_clip is not None:
            torch.nn.utils.clip_grad_norm_(
                self.model.trainable_parameters(), self.protocol.recipe.grad_clip
            )
        self.optimizer.step()
        self.schedule.step()
        return loss.detach()

    def _loss(self, index: Tensor) -> Tensor:
        if self.frozen is not None:
            assert isinstance(self.model, FrozenFeatureModel)
            return self.model.loss_of_features(self.frozen.batch(index))
        return self.model.loss(to_float(self.images[index], self.device))

    def save(self, path: Path, result: Fit) -> None:
        """Keep the state; a full disk costs the checkpoint, never the training."""
        state = {
            "model": self.model.checkpoint(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.order.generator.get_state(),
            "left": self.order.left,
            "torch": torch.get_rng_state(),
            "steps": result.steps,
            "images_seen": result.images_seen,
            "losses": result.losses,
            "step_seconds": result.step_seconds,
        }
        try:
            save_whole(state, path)
        except OSError as error:
            _log.warning("training goes on without a checkpoint: %s", error)

    def resume(self, path: Path) -> Fit:
        """Take up a killed run's training; one that cannot be taken up is left behind.

        Raises:
            DamagedCheckpointError: Part of it was loaded before it turned out not to fit.
        """
        if not path.exists():
            return Fit()
        try:
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
            self.model.load_checkpoint(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.schedule.load_state_dict(state["schedule"])
            self.order.generator.set_state(state["generator"].cpu())
            self.order.left = state["left"].cpu()
            torch.set_rng_state(state["torch"].cpu())
        except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
            path.unlink()
            raise DamagedCheckpointError(
                f"The training checkpoint {path} of an earlier, killed run is damaged "
                f"({type(error).__name__}) and was removed. Run the same command again: the case "
                "starts anew."
            ) from error
        return Fit(
            steps=state["steps"],
            images_seen=state["images_seen"],
            losses=state["losses"],
            step_seconds=state["step_seconds"],
            resumed_at=state["steps"],
        )


def autocast(device: torch.device, protocol: Protocol) -> torch.autocast:
    """The protocol's training precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=protocol.precision == "bf16")


def to_float(images: Tensor, device: torch.device) -> Tensor:
    """uint8 ``(B, 3, S, S)`` to float32 in [0, 1], channels last, on the device."""
    moved = images.to(device, non_blocking=True)
    return moved.to(torch.float32, memory_format=torch.channels_last).div_(255.0)


def _finite_losses(pending: list[Tensor], step: int, recipe: Recipe) -> list[float]:
    losses: list[float] = torch.stack(pending).float().tolist()
    if all(map(math.isfinite, losses)):
        return losses
    raise NonFiniteLossError(
        f"The training loss was not finite by step {step} "
        f"({recipe.optimizer}, learning rate {recipe.lr}). "
        "Nothing after that step can be trusted, so the case stopped. Lower the learning rate or "
        "set grad_clip in the model's recipe."
    )
