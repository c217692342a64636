"""The training loop: device, precision, schedule, clipping, NaN stop, progress, checkpoints.

A model file holds only what its paper says; everything else about training is here.
"""

import logging
import math
import pickle
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from bench.atomic import save_tensors
from bench.protocol import Protocol as CaseProtocol
from bench.run.job import ProgressCallback
from bench.run.measure.memory import MemoryRise
from bench.run.out_of_memory import is_out_of_memory
from bench.run.training.early_stop import stops_early
from bench.run.training.interruption import deferred_interrupts
from bench.run.training.objective import Objective
from bench.run.training.optimization import build_optimizer, learning_rate_factor, order
from bench.run.training.resume import (
    ResumeError,
    align_state,
    check_budget,
    check_optimizer,
    is_state,
    optimizer_name,
    resumable,
)
from bench.run.training.step_clock import StepClock
from models.catalog import ClassifierRecipe, Recipe

if TYPE_CHECKING:
    from bench.run.training.moving_average import MovingAverage

_log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 300.0
"""Seconds of training that a killed case loses at most; an interrupted one loses none."""

_CURVE_POINTS = 200
_DAMAGED = (
    *(RuntimeError, EOFError, ValueError, KeyError, TypeError, IndexError, AttributeError),
    pickle.UnpicklingError,
)


class NonFiniteLossError(Exception):
    """The loss became NaN or infinite."""


class DamagedCheckpointError(Exception):
    """A killed run's checkpoint cannot be resumed."""


@dataclass
class TrainingResult:
    """What training returns along with the model.

    Attributes:
        steps: Number of optimizer steps, including those before a resume.
        images_seen: Number of images shown to the model.
        losses: Loss of every step.
        step_seconds: Duration of every step, except those lost to a kill.
        resumed_at: Step at which a killed training was resumed; 0 for an unbroken run.
        gather_seconds: Duration of the pass that gathers statistics, where there is one.
        gather_memory: Memory that this pass takes in addition to the model and its data.
        calibrate_seconds: Duration of taking constants from held-out images, where there are some.
        epochs: ``[images seen, metric]`` after every pass, where passes are evaluated.
        evaluate_seconds: Duration of these evaluations.
        stopped: Why training ended before its budget; empty if it did not.
        counted_from: Step from which losses count for early stopping; where a finished training is
            continued, its last.
    """

    steps: int = 0
    images_seen: int = 0
    losses: list[float] = field(default_factory=list)
    step_seconds: list[float] = field(default_factory=list)
    resumed_at: int = 0
    gather_seconds: float = 0.0
    gather_memory: MemoryRise | None = None
    calibrate_seconds: float = 0.0
    epochs: list[list[float]] = field(default_factory=list)
    evaluate_seconds: float = 0.0
    stopped: str = ""
    counted_from: int = 0

    def curve(self) -> list[list[float]]:
        """Return at most 200 points ``[images seen, mean loss since the last point]``."""
        chunk = max(1, math.ceil(len(self.losses) / _CURVE_POINTS))
        batch = self.images_seen / max(1, self.steps)
        return [
            [min(start + chunk, len(self.losses)) * batch, sum(part) / len(part)]
            for start in range(0, len(self.losses), chunk)
            if (part := self.losses[start : start + chunk])
        ]


EvaluateFn = Callable[[nn.Module], float]
"""Returns a metric of the model after a pass; it chooses nothing."""


class Trainable(Protocol):
    """What the loop trains: an `nn.Module` with these methods."""

    def train(self, mode: bool = True) -> Any:
        """Switch to training mode."""

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Return the parameters the optimizer steps."""

    def parameter_groups(self) -> list[tuple[float, list[nn.Parameter]]]:
        """Return them in groups, each with a factor on the learning rate."""

    def checkpoint(self) -> dict[str, Any]:
        """Return what must be saved to resume."""

    def load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        """Load what `checkpoint` returned."""


def fit(
    model: Trainable,
    objective: Objective,
    protocol: CaseProtocol,
    *,
    seed: int,
    device: torch.device,
    report: ProgressCallback,
    checkpoint: Path,
    origin: str | None = None,
    evaluate_fn: EvaluateFn | None = None,
    start: Path | None = None,
    keep_state: bool = False,
) -> TrainingResult:
    """Train a model.

    Args:
        model: The model, on its device.
        objective: The loss of its training images.
        protocol: Recipe and budget. Batches are cut from a stream of shuffled passes, so that every
            batch is full; for their number, see `planned_steps`.
        seed: Seed of the order of images.
        device: Where the model is.
        report: Called at every step.
        checkpoint: Where to keep the state of a long training; resumed from if it exists. It stays
            when training ends, for the caller to remove once the case is safe.
        origin: The code and the device, in one string. A checkpoint of another origin is removed,
            and training starts over. None if the model itself refuses what it cannot resume.
        evaluate_fn: Called after every pass and after the last step; not counted as training.
        start: State of an earlier training, or a saved model, to resume from if there is no
            checkpoint.
        keep_state: Whether the checkpoint is written at the end, too.

    Raises:
        KeyboardInterrupt: The user or the session stopped it; its checkpoint is written.
        NonFiniteLossError: Training diverged.
        ResumeError: Training cannot resume from ``start``.
    """
    batch = min(protocol.recipe.batch_size, objective.count)
    steps = planned_steps(protocol, objective.count)
    trainer = _Trainer(model, objective, protocol, steps, device, origin)
    result = trainer.resume(checkpoint) or trainer.go_on(start, batch)
    clock = StepClock(device)
    saved_at = time.monotonic()
    pending: list[Tensor] = []
    compile_considered = False
    # Reading a loss waits for the device: only where a pass ends, except in very long passes.
    check_every = 1 if device.type == "cpu" else 500
    remaining = order(objective.count, steps * batch, seed)[result.steps * batch :]
    batches = objective.batches(remaining, batch, result.steps)
    model.train()
    with deferred_interrupts() as interrupted:
        for step in range(result.steps, steps):
            if not pending and trainer.stops(result, batch):
                break
            clock.start()
            pending.append(trainer.step(next(batches), step))
            clock.stop()
            result.steps, result.images_seen = step + 1, (step + 1) * batch
            pass_ends = _ends_pass(step, steps, batch, objective.count)
            if len(pending) == check_every or pass_ends:
                trainer.read_losses(pending, result)
                report("train", {"step": step + 1, "steps": steps, "loss": result.losses[-1]})
            if pass_ends and not compile_considered:
                result.step_seconds += clock.seconds()
                # The first step also records and tunes: of two, the median would be half its time.
                objective.maybe_compile(_typical(result.step_seconds), steps - step - 1)
                compile_considered = True
            if pass_ends and evaluate_fn is not None:
                trainer.evaluate(evaluate_fn, result)
            stop = interrupted()
            if stop and pending:
                trainer.read_losses(pending, result)
            if stop or (not pending and time.monotonic() - saved_at > CHECKPOINT_SECONDS):
                result.step_seconds += clock.seconds()
                trainer.save(checkpoint, result)
                saved_at = time.monotonic()
            if stop:
                raise KeyboardInterrupt
    result.step_seconds += clock.seconds()
    trainer.finish(result, checkpoint if keep_state else None)
    return result


def planned_steps(protocol: CaseProtocol, count: int) -> int:
    """Return the number of optimizer steps of a training that does not stop early.

    The budget in images is met to within one batch.

    Args:
        protocol: Recipe and budget.
        count: Number of training images.
    """
    batch = min(protocol.recipe.batch_size, count)
    return max(1, math.ceil(protocol.total_images(count) / batch))


def _ends_pass(step: int, steps: int, batch: int, count: int) -> bool:
    """Return whether a pass over the images, or training itself, ends within this step."""
    return step + 1 == steps or (step + 1) * batch // count > step * batch // count


def _typical(step_seconds: Sequence[float]) -> float:
    """Return the median duration of the steps after the first; of a single one, zero.

    >>> _typical([5.0, 0.2, 0.1, 0.3]), _typical([5.0])
    (0.2, 0.0)
    """
    return statistics.median(step_seconds[1:] or [0.0])


class _Trainer:
    def __init__(
        self,
        model: Trainable,
        objective: Objective,
        protocol: CaseProtocol,
        steps: int,
        device: torch.device,
        origin: str | None,
    ) -> None:
        recipe = protocol.recipe
        self.model, self.objective, self.recipe, self.device = model, objective, recipe, device
        self.steps, self.origin = steps, origin
        self.optimizer = build_optimizer(recipe, model.parameter_groups())
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: learning_rate_factor(step, steps, recipe)
        )
        self.average = _moving_average(_module(model), recipe)

    @property
    def evaluated_model(self) -> nn.Module:
        """Return the moving average where there is one, else the model."""
        return self.average.module if self.average is not None else _module(self.model)

    def step(self, batch: Any, step: int) -> Tensor:
        """Take one optimizer step; return the detached loss on the device."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.objective.gradient(batch, step)
        if self.recipe.grad_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.model.trainable_parameters(), self.recipe.grad_clip)
        self.optimizer.step()
        self.schedule.step()
        if self.average is not None:
            self.average.update(_module(self.model), step)
        return loss

    def read_losses(self, pending: list[Tensor], result: TrainingResult) -> None:
        """Move the losses of the last steps from the device to the result.

        Raises:
            NonFiniteLossError: One of them is NaN or infinite.
        """
        result.losses += _finite_losses(pending, result.steps, self.recipe)
        pending.clear()

    def evaluate(self, evaluate_fn: EvaluateFn, result: TrainingResult) -> None:
        """Add a metric of the model as it is now, and the time that it took."""
        begin = time.perf_counter()
        result.epochs.append([result.images_seen, evaluate_fn(self.evaluated_model)])
        result.evaluate_seconds += time.perf_counter() - begin

    def stops(self, result: TrainingResult, batch: int) -> bool:
        """Note why training stops early, see `stops_early`, and return whether it does.

        Of a model with phases, only the losses of the last one count; of a training that continues
        another, only its own.
        """
        last_phase = math.ceil(getattr(_module(self.model), "last_phase", 0) * self.steps)
        first = max(last_phase, result.counted_from)
        count = self.objective.count
        result.stopped = stops_early(result.losses, batch, count, self.recipe, first)
        return bool(result.stopped)

    def finish(self, result: TrainingResult, state: Path | None) -> None:
        """Load the moving average, where there is one, into the model.

        Args:
            result: The whole training.
            state: Where to save its state first; None saves none.
        """
        if state is not None:
            self.save(state, result)
        if self.average is not None:
            _module(self.model).load_state_dict(self.average.module.state_dict())

    def save(self, path: Path, result: TrainingResult) -> None:
        """Save the state; a full disk costs the checkpoint, never the training."""
        state = {
            "origin": self.origin,
            "model": self.model.checkpoint(),
            "optimizer": self.optimizer.state_dict(),
            "optimizer_name": optimizer_name(self.recipe),
            "schedule": self.schedule.state_dict(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
            "steps": result.steps,
            "images_seen": result.images_seen,
            "losses": result.losses,
            "step_seconds": result.step_seconds,
            "epochs": result.epochs,
            "counted_from": result.counted_from,
            "average": self.average.module.state_dict() if self.average is not None else None,
        }
        try:
            save_tensors(state, path)
        except OSError as error:
            _log.warning("training continues without a checkpoint: %s", error)

    def resume(self, path: Path) -> TrainingResult | None:
        """Resume a killed run's training; a checkpoint that cannot be resumed is removed.

        None if there is none, or if it is of another origin. Where memory runs out, it stays.

        Raises:
            DamagedCheckpointError: Part of it was loaded before it turned out not to fit.
        """
        if not path.exists():
            return None
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            if state.get("origin") == self.origin:
                return self._take_up(state)
        except _DAMAGED as error:
            if is_out_of_memory(error):
                raise
            path.unlink()
            raise DamagedCheckpointError(
                f"The training checkpoint {path} of an earlier, killed run is damaged "
                f"({type(error).__name__}) and was removed. Run the same command again: the case "
                "starts over."
            ) from error
        path.unlink()
        _log.warning(
            "training starts over: the code or the device changed since its checkpoint %s, which "
            "was removed",
            path,
        )
        return None

    def go_on(self, path: Path | None, batch: int) -> TrainingResult:
        """Begin training, from a file where there is one.

        A finished training's state is continued as if it had not ended, with this recipe's
        learning rate and other options, and early stopping counts anew; from a saved model, the
        optimizer starts anew, too.

        Raises:
            ResumeError: It is neither, or does not fit this training.
        """
        if path is None:
            return TrainingResult()
        state = resumable(path, self.device)
        try:
            if not is_state(state):
                self.model.load_checkpoint(state)
                return TrainingResult()
            check_budget(path, state, batch, self.steps)
            check_optimizer(path, state, self.recipe)
            return self._extend(state)
        except _DAMAGED as error:
            if is_out_of_memory(error):
                raise
            raise ResumeError(
                f"resume_from {path} does not fit this model: {error}. Name a file written by "
                "the same model with the same options."
            ) from error

    def _extend(self, state: Mapping[str, Any]) -> TrainingResult:
        """Load the state of a training with another budget or other options; keep this one's."""
        options = [{**group} for group in self.optimizer.param_groups]
        rates = self.schedule.base_lrs
        result = self._take_up(state)
        result.counted_from = result.steps
        self.schedule.base_lrs = rates
        factor = learning_rate_factor(result.steps, self.steps, self.recipe)
        for group, own, rate in zip(self.optimizer.param_groups, options, rates, strict=True):
            group.update(own, lr=rate * factor)
        return result

    def _take_up(self, state: Mapping[str, Any]) -> TrainingResult:
        """Load a training state, and return its progress."""
        self.model.load_checkpoint(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        align_state(self.optimizer)
        self.schedule.load_state_dict(state["schedule"])
        if self.average is not None:
            self.average.module.load_state_dict(state["average"])
        torch.set_rng_state(state["torch"].cpu())
        if self.device.type == "cuda" and state["cuda"] is not None:  # it may be from a CPU
            torch.cuda.set_rng_state(state["cuda"].cpu(), self.device)
        return TrainingResult(
            steps=int(state["steps"]),
            images_seen=int(state["images_seen"]),
            losses=list(state["losses"]),
            step_seconds=list(state["step_seconds"]),
            resumed_at=int(state["steps"]),
            epochs=list(state["epochs"]),
            counted_from=int(state.get("counted_from", 0)),
        )


def _module(model: Trainable) -> nn.Module:
    assert isinstance(model, nn.Module)
    return model


def _moving_average(model: nn.Module, recipe: Recipe) -> "MovingAverage | None":
    if not isinstance(recipe, ClassifierRecipe) or recipe.ema_decay is None:
        return None
    from bench.run.training.moving_average import MovingAverage  # timm takes seconds to import

    return MovingAverage(model, recipe.ema_decay)


def _finite_losses(pending: list[Tensor], step: int, recipe: Recipe) -> list[float]:
    losses: list[float] = torch.stack(pending).float().tolist()
    if all(map(math.isfinite, losses)):
        return losses
    raise NonFiniteLossError(
        f"The training loss was not finite by step {step} "
        f"({recipe.optimizer}, learning rate {recipe.lr}). "
        "Nothing after that step can be trusted, so the case stopped. Lower the learning rate, set "
        "grad_clip in the model's recipe, or check the loss itself."
    )
