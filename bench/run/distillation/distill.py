"""Distilling a patch description network from a CNN's features, as EfficientAD's teacher was made.

Batzner, Heckler and König, WACV 2024, section 3.1 and algorithm 3 of its appendix.
"""

import math
import pickle
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.atomic import save_tensors
from bench.run.distillation.patch_targets import PatchTargets
from bench.run.distillation.plan import DistillationError, Distilled, Plan
from bench.run.training.loop import CHECKPOINT_SECONDS
from bench.run.training.optimization import order
from datasets_lib.augment.rows import select
from models.catalog import WEIGHTS
from models.components.color_jitter import grayscale
from models.components.moments import ChannelStatistics
from models.efficientad.pdn import PatchDescriptionNetwork

LEARNING_RATE, WEIGHT_DECAY = 1e-4, 1e-5
GRAYSCALE = 0.1
"""Share of the pictures that lose their colors."""

STRIDE = 4
"""Of a network that pads; pictures' sides are multiples of twice as much."""

NORMALISED_BY = 10_000
"""Pictures that the targets' means and deviations are taken of, at most."""

_HELD_OUT = 200
_SEED = 0
_UNREADABLE = (RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError)

ProgressCallback = Callable[[int, int], None]
"""Told of steps done and in all."""


def distil(
    plan: Plan,
    images: Tensor,
    targets: PatchTargets,
    device: torch.device,
    unfinished: Path,
    report: ProgressCallback,
) -> Distilled:
    """Distil a network.

    A tenth of the pictures, at most 200, is only judged on. Losses are differences of features that
    are normalized by channel, so that predicting nothing loses about 1.

    Args:
        plan: What is asked for.
        images: uint8 ``(N, 3, 2 S, 2 S)``, at least two, on the host.
        targets: On the device.
        device: Where to compute.
        unfinished: Where the state of a long distillation is kept, and taken up from; removed by
            the caller once the result is safe.
        report: Called after every step.

    Raises:
        DistillationError: The loss became infinite, or the kept state is another distillation's.
        OSError: The state cannot be written.
    """
    training, held_out = _split(len(images))
    run = _Run(plan, images, targets, device)
    done = run.resume(unfinished)
    if not done:
        run.normalize(training)
    drawn = order(len(training), plan.steps * plan.batch, _SEED)
    gray = torch.rand(len(drawn), generator=torch.Generator().manual_seed(_SEED)) < GRAYSCALE
    saved = time.monotonic()
    for step in range(done, plan.steps):
        place = slice(step * plan.batch, (step + 1) * plan.batch)
        run.step(training[drawn[place]], gray[place])
        report(step + 1, plan.steps)
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            run.save(unfinished)
            saved = time.monotonic()
    return run.result(held_out, done)


def _split(count: int) -> tuple[Tensor, Tensor]:
    """Indices to train on and to judge on, drawn: sets are ordered by kind."""
    drawn = torch.randperm(count, generator=torch.Generator().manual_seed(_SEED))
    held_out = min(_HELD_OUT, max(1, count // 10))
    return drawn[held_out:], drawn[:held_out]


class _Run:
    """The state of a distillation."""

    def __init__(
        self, plan: Plan, images: Tensor, targets: PatchTargets, device: torch.device
    ) -> None:
        self.plan, self.device = plan, device
        self._images, self._targets = images, targets
        torch.manual_seed(_SEED)
        network = PatchDescriptionNetwork(plan.size, padding=True).to(device)
        self.network: nn.Module = network.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
        )
        entry = WEIGHTS[f"pdn_{plan.size}.distilled"]
        self._mean, self._std = (
            torch.tensor(values, device=device).view(1, 3, 1, 1)
            for values in (entry.mean, entry.std)
        )
        self._grid = (plan.side // STRIDE,) * 2
        self._statistics = torch.empty(0)
        self._losses: list[Tensor] = []

    @property
    def _done(self) -> int:
        return len(self._losses)

    def normalize(self, training: Tensor) -> None:
        """Take the targets' statistics of as many pictures as a tenth of those to be seen."""
        seen = self.plan.steps * self.plan.batch
        index = training[: min(NORMALISED_BY, max(10 * self.plan.batch, seen // 10))]
        statistics = ChannelStatistics()
        for part in torch.split(index, self.plan.batch):
            statistics.update(self._targets(self._batch(part), self._grid))
        self._statistics = statistics.mean_and_std()

    def step(self, index: Tensor, gray: Tensor) -> None:
        """One step of the optimizer."""
        loss = self._loss(index, gray)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self._losses.append(loss.detach())

    def result(self, held_out: Tensor, resumed_at: int) -> Distilled:
        """The network, and how well it does."""
        losses = self._finite()
        hundredth = math.ceil(len(losses) / 100)
        totals = torch.zeros(2)
        with torch.no_grad():
            for part in torch.split(held_out, self.plan.batch):
                images = self._batch(part)
                target = self._normalized_targets(images)
                losing = (self._described(images) - target, target)
                totals += len(part) * torch.stack([x.square().mean().cpu() for x in losing])
        trained, trivial = (totals / len(held_out)).tolist()
        return Distilled(
            state={
                name: tensor.cpu().contiguous()
                for name, tensor in self.network.state_dict().items()
            },
            first=sum(losses[:hundredth]) / hundredth,
            last=sum(losses[-hundredth:]) / hundredth,
            held_out=trained,
            trivial=trivial,
            resumed_at=resumed_at,
        )

    def save(self, path: Path) -> None:
        """Keep the state."""
        losses = self._finite()
        state = {
            "plan": self.plan.plain(),
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "statistics": self._statistics,
            "losses": losses,
        }
        save_tensors(state, path)

    def resume(self, path: Path) -> int:
        """Take up a killed distillation; gives the steps it had done.

        Raises:
            DistillationError: It is damaged, or of another plan.
        """
        if not path.exists():
            return 0
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
            differences = self.plan.differences(state["plan"])
            if not differences:
                self.network.load_state_dict(state["network"])
                self.optimizer.load_state_dict(state["optimizer"])
                self._statistics = state["statistics"]
                self._losses = list(torch.tensor(state["losses"], device=self.device))
        except _UNREADABLE as error:
            raise DistillationError(
                f"The unfinished distillation {path} is damaged ({type(error).__name__}). Remove "
                "it, and run the same command again: it starts anew."
            ) from error
        if differences:
            raise DistillationError(
                f"An unfinished distillation of another kind is in the way, {path}: "
                f"{', '.join(differences)}. Ask for the same to go on with it, remove it to start "
                "anew, or name another --out."
            )
        return self._done

    def _loss(self, index: Tensor, gray: Tensor) -> Tensor:
        images = self._batch(index)
        images = torch.where(gray.to(self.device).view(-1, 1, 1, 1), grayscale(images), images)
        target = self._normalized_targets(images)
        return F.mse_loss(self._described(images), target)

    def _batch(self, index: Tensor) -> Tensor:
        """``(B, 3, 2 S, 2 S)`` in [0, 1]."""
        return select(self._images, index).to(self.device).float() / 255

    def _normalized_targets(self, images: Tensor) -> Tensor:
        mean, std = self._statistics.to(self.device).view(2, 1, -1, 1, 1)
        return (self._targets(images, self._grid) - mean) / std  # type: ignore[no-any-return]

    def _described(self, images: Tensor) -> Tensor:
        """What the network makes of pictures at half their size."""
        small = F.interpolate(
            images, (self.plan.side,) * 2, mode="bilinear", align_corners=False, antialias=True
        )
        normalized = ((small - self._mean) / self._std).contiguous(
            memory_format=torch.channels_last
        )
        described: Tensor = self.network(normalized)
        return described

    def _finite(self) -> list[float]:
        losses: list[float] = torch.stack(self._losses).tolist()
        if all(map(math.isfinite, losses)):
            return losses
        raise DistillationError(
            f"The loss was not finite by step {self._done}; nothing was kept since. The pictures "
            "or the backbone's weights must be damaged: check them."
        )
