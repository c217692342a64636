"""Compiling a loss where that pays: what it saves is predicted from steps measured without it."""

import logging
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Choice = Literal["auto", "yes", "no"]
Loss = Callable[[Tensor, Tensor], Tensor]

# Guesses, not measurements: nobody has run this on a GPU yet. On a CPU only `yes` compiles.
_SAVED_SHARE = {"cuda": 0.25, "cpu": 0.0}
_COMPILE_SECONDS = 60.0

_log = logging.getLogger(__name__)


def pays(device: torch.device, step_seconds: float, steps_left: int) -> bool:
    """Whether the rest of a training saves more by compiling than compiling takes."""
    saved = _SAVED_SHARE.get(device.type, 0.0) * step_seconds * steps_left
    return saved > _COMPILE_SECONDS


class CompilableLoss:
    """A loss that may be compiled at the start, or once its steps have been timed.

    Losses of one class are compiled once a process: further models of the same shape, such as
    other seeds of a case, find the code that is there.

    Args:
        loss: Of images and targets.
        device: Where it is computed.
        choice: Whether to compile; ``auto`` leaves it to `consider`.

    Attributes:
        how: ``eager``, ``compiled`` or why compiling failed, for a record.
    """

    def __init__(self, loss: Loss, device: torch.device, choice: Choice) -> None:
        self._eager = self._loss = loss
        self._device, self._choice = device, choice
        self.how = "eager"
        if choice == "yes":
            self._compile()

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """The loss; a compiler that fails at its first call leaves the eager one in its place."""
        try:
            return self._loss(images, targets)
        except Exception as error:
            if self._loss is self._eager or isinstance(error, torch.OutOfMemoryError):
                raise
            reason = " ".join(str(error).split("\n\n")[0].split())
            self.how = f"eager; compiling failed: {reason}"
            _log.warning("training goes on without compiling: %s", reason)
            self._loss = self._eager
            return self._loss(images, targets)

    def consider(self, step_seconds: float, steps_left: int) -> None:
        """Compile from here on, if the choice was left open and it pays."""
        if self._choice == "auto" and pays(self._device, step_seconds, steps_left):
            self._compile()

    def _compile(self) -> None:
        self._loss = torch.compile(self._eager)
        self.how = "compiled"
