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
        # The tensors themselves, which steps change in place: collecting them takes longer than
        # averaging them does on a GPU.
        pairs = list(zip(_tensors(self.model), _tensors(model), strict=True))
        self._averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        self._copied = [pair for pair in pairs if not pair[0].is_floating_point()]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the model's present state."""
        decay = min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        averaged, current = zip(*self._averaged, strict=True)
        torch._foreach_lerp_(averaged, current, 1 - decay)
        if self._copied:
            copied, counters = zip(*self._copied, strict=True)
            torch._foreach_copy_(copied, counters)

    def state_dict(self) -> dict[str, Tensor | int]:
        """The average and how many updates it holds."""
        return {**self.model.state_dict(), "updates": self._updates}

    def load_state_dict(self, state: Mapping[str, Tensor | int]) -> None:
        """Take back what `state_dict` gave."""
        self._updates = int(state["updates"])
        self.model.load_state_dict({k: v for k, v in state.items() if k != "updates"})


def _tensors(model: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in model.state_dict(keep_vars=True).values()]
