"""Files that training can resume from: the state of an earlier one, or a saved model."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.checkpoint.file import FORMAT, read_checkpoint
from bench.checkpoint.metadata import CheckpointError
from bench.run.out_of_memory import is_out_of_memory
from models.catalog import Recipe
from models.components.weights_file import other_kind

_STATE = {"model", "optimizer", "schedule", "steps", "losses"}


class ResumeError(Exception):
    """Training cannot resume from a file; the message says why."""


def resumable(path: Path, device: torch.device) -> dict[str, Any]:
    """Return what a file holds: a training state, or a saved model's tensors by name.

    Raises:
        ResumeError: It holds neither, or cannot be read.
    """
    _check_kind(path)
    try:
        state: Any = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises many kinds, and a malicious pickle its own
        if is_out_of_memory(error):
            raise
        raise ResumeError(
            f"resume_from {path}: wanted a training state or a saved model, found a file that "
            f"cannot be read as one ({type(error).__name__}). Name another file."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise ResumeError(
            f"resume_from {path}: wanted a training state or a saved model's tensors, found a "
            f"{type(state).__name__}. Name another file."
        )
    if state.get("format") != FORMAT:
        return dict(state)
    try:
        return read_checkpoint(path).model
    except CheckpointError as error:
        raise ResumeError(f"resume_from: {error}") from None


def _check_kind(path: Path) -> None:
    """Check that a file does not begin as one without tensors, such as a web page, does.

    Raises:
        ResumeError: It does.
    """
    with suppress(OSError):  # torch.load reports what cannot be opened
        with path.open("rb") as file:
            kind = other_kind(file.read(512))
        if kind:
            raise ResumeError(
                f"resume_from {path}: wanted a training state or a saved model, found {kind}. "
                "Name another file."
            )


def is_state(state: Mapping[str, Any]) -> bool:
    """Return whether it is a training state."""
    return state.keys() >= _STATE


def optimizer_name(recipe: Recipe) -> str:
    """Return the kind of a recipe's optimizer, as training states name it."""
    return f"{recipe.optimizer} with amsgrad" if recipe.amsgrad else recipe.optimizer


def check_optimizer(path: Path, state: Mapping[str, Any], recipe: Recipe) -> None:
    """Check that a training state is of the recipe's kind of optimizer.

    Raises:
        ResumeError: It is not, or does not say which it is of.
    """
    found, wanted = state.get("optimizer_name", "an unnamed optimizer"), optimizer_name(recipe)
    if found != wanted:
        raise ResumeError(
            f"resume_from {path}: wanted a training state of {wanted}, found one of {found}. "
            "Train with that optimizer, or resume from the saved model, with a new optimizer."
        )


def check_budget(path: Path, state: Mapping[str, Any], batch: int, steps: int) -> None:
    """Check that a training state has the same batches, and that something is left to train.

    Raises:
        ResumeError: Its batches differ, or no step is left.
    """
    done = int(state["steps"])
    before = round(int(state["images_seen"]) / max(1, done))
    if before != batch:
        raise ResumeError(
            f"resume_from {path}: it was trained in batches of {before} images, wanted {batch}. "
            f"Give batch_size={before}, or start from the saved model."
        )
    if done >= steps:
        raise ResumeError(
            f"resume_from {path}: it was trained for {done} steps of {batch} images, and this "
            f"training is {steps} steps long. Give a larger num_epochs."
        )


def align_state(optimizer: torch.optim.Optimizer) -> None:
    """Lay a loaded state out in memory as the parameters are.

    torch keeps the strides that it was saved with, and machines differ in how they lay convolutions
    out. Fused kernels pair numbers by their place in memory.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                aligned = torch.empty_like(parameter, dtype=value.dtype, device=value.device)
                state[name] = aligned.copy_(value)
