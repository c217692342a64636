"""The moving average of a model's parameters, judged in place of the last ones."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class MovingAverage:
    """An exponential moving average of a model's floating-point state.

    The decay of update n is ``min(decay, (1 + n) / (10 + n))``, so that the random start is
    forgotten in short trainings too. Counters are taken over.

    Args:
        model: Whose state is averaged.
        decay: Of the average.

    Attributes:
        model: A copy that holds the average, in evaluation mode.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay
        self._updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in a model's present state."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        own, current = self.model.state_dict(), model.state_dict()
        floating = [name for name, tensor in own.items() if tensor.is_floating_point()]
        averaged = [own[name] for name in floating]
        torch._foreach_lerp_(averaged, [current[name] for name in floating], 1 - decay)
        for name in own.keys() - set(floating):
            own[name].copy_(current[name])

    def state_dict(self) -> dict[str, Tensor | int]:
        """The average and how many updates it holds."""
        return {**self.model.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: Mapping[str, Tensor | int]) -> None:
        """Take back what `state_dict` gave."""
        self._updates = int(state["updates"])
        self.model.load_state_dict({k: v for k, v in state.items() if k != "updates"})
