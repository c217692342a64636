"""How a loss and its gradient are computed: eagerly, replayed on CUDA, or compiled if that pays.

What compiling saves is predicted from steps measured without it.
"""

import logging
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from bench.run.out_of_memory import is_out_of_memory
from bench.run.training.cuda_graphs import Gradient, capture_gradient

Choice = Literal["auto", "yes", "no"]
Loss = Callable[[Tensor, Tensor], Tensor]

# Measured on an H200, ViT-S/16 at 32 px, batch 256: compiling saves 24 % of a replayed step and
# takes 18 s; deeper networks take longer. On a CPU only `yes` compiles.
_SAVED_SHARE = {"cuda": 0.24, "cpu": 0.0}
_COMPILE_SECONDS = 40.0

_log = logging.getLogger(__name__)


def worth_compiling(device: torch.device, step_seconds: float, steps_left: int) -> bool:
    """Return whether compiling saves the rest of a training more time than it takes."""
    saved = _SAVED_SHARE.get(device.type, 0.0) * step_seconds * steps_left
    return saved > _COMPILE_SECONDS


@cache
def compiler_is_right() -> bool:
    """Return whether compiled code computes what eager code does, on a small loss on the CPU.

    torch 2.14's code for AVX2 does not, as ``ATEN_CPU_CAPABILITY=avx2`` shows on any x86 CPU.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Linear(6, 4), nn.GELU(), nn.Linear(4, 3))
        images, targets = torch.randn(8, 6), torch.arange(8) % 3

    def loss(images: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(layers(images), targets)

    return torch.allclose(torch.compile(loss)(images, targets), loss(images, targets), rtol=1e-4)


class HasLoss(Protocol):
    """A network with a loss."""

    def loss(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the scalar loss of a batch."""


class LossGradient:
    """A loss whose gradient is computed in the fastest available way.

    On CUDA the first call records a step as a graph, within a second or two, and later calls replay
    it. Losses of one class are compiled once per process: further models of the same shape, such
    as other seeds of a case, reuse the code.

    Args:
        model: The network; the loss depends on its parameters alone.
        device: Where the network is.
        choice: Whether to compile; ``auto`` leaves it to `maybe_compile`, ``no`` also disables
            recording.
        precision: Returns the autocast that the loss is computed under.
    """

    def __init__(
        self,
        model: HasLoss,
        device: torch.device,
        choice: Choice,
        precision: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._model, self._device, self._choice = model, device, choice
        self._precision = precision
        self._loss: Loss = model.loss
        self._replay: Gradient | None = None
        self._to_record = device.type == "cuda" and choice != "no"
        self._failures: list[str] = []
        if choice == "yes":
            self._compile()

    @property
    def execution_mode(self) -> str:
        """Return ``as written``, ``compiled``, ``replayed``, or why that failed, for the record."""
        ways = ["compiled"] * self._is_compiled + ["replayed"] * (self._replay is not None)
        return "; ".join([" and ".join(ways) or "as written", *self._failures])

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the detached loss; leave its gradient in the parameters, where it was None before.

        If recording or compiling fails, the loss is computed eagerly.
        """
        try:
            if self._to_record:
                self._record(images, targets)
            return (self._replay or self._gradient)(images, targets)
        except Exception as error:
            if not (self._is_compiled or self._to_record) or is_out_of_memory(error):
                raise
            self._give_up(error)
            return self(images, targets)

    def maybe_compile(self, step_seconds: float, steps_left: int) -> None:
        """Compile from here on, if the choice is ``auto`` and compiling saves time."""
        if self._choice == "auto" and worth_compiling(self._device, step_seconds, steps_left):
            self._compile()

    @property
    def _is_compiled(self) -> bool:
        return self._loss != self._model.loss

    def _gradient(self, images: Tensor, targets: Tensor) -> Tensor:
        with self._precision():
            loss = self._loss(images, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def _compile(self) -> None:
        if self._device.type == "cpu" and not _is_right_here():
            self._failures.append("compiling failed: torch's compiler gives wrong values here")
            _log.warning("training continues without compiling: torch's gives wrong values here")
            return
        self._loss, self._replay = torch.compile(self._model.loss), None
        self._to_record = self._device.type == "cuda"

    def _record(self, images: Tensor, targets: Tensor) -> None:
        assert isinstance(self._model, nn.Module)
        with warnings.catch_warnings():
            # The compiler recommends TF32, which is off on purpose.
            warnings.filterwarnings("ignore", message="TensorFloat32")
            self._replay = capture_gradient(self._gradient, self._model, images, targets)
        self._to_record = False

    def _give_up(self, error: Exception) -> None:
        """Disable what was tried last: the compiler if it was on, else the recording."""
        reason = " ".join(str(error).split("\n\n")[0].split())
        what = "compiling" if self._is_compiled else "recording"
        self._failures.append(f"{what} failed: {reason}")
        _log.warning("training continues without %s: %s", what, reason)
        self._to_record = self._is_compiled and self._device.type == "cuda"
        self._loss = self._model.loss
        assert isinstance(self._model, nn.Module)
        self._model.zero_grad()  # drop what the failed attempt left


def _is_right_here() -> bool:
    """Return False only for wrong values; a compiler that raises says why when it is used."""
    try:
        return compiler_is_right()
    except Exception:
        return True
