"""Gradient checkpointing of a stage that updates BatchNorm's running statistics only once."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


class Stage(nn.Sequential):
    """A sequence of layers whose activations may be recomputed in the backward pass.

    Attributes:
        recompute: Keep only the stage's input and run the stage again for its gradient.
    """

    recompute: bool = False

    def forward(self, input: Tensor) -> Tensor:
        """Run the layers."""
        if not (self.recompute and torch.is_grad_enabled()):
            return self._run(input)
        output: Tensor = checkpoint(
            self._run,
            input,
            use_reentrant=False,
            preserve_rng_state=False,  # nothing here is random
            context_fn=self._contexts,
        )
        return output

    def _run(self, x: Tensor) -> Tensor:
        for layer in self:
            x = layer(x)
        return x

    def _contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _untracked(self)


@contextmanager
def _untracked(module: nn.Module) -> Iterator[None]:
    """Let BatchNorm normalize by its batch, as in training, without updating its statistics.

    Not by ``track_running_stats``, which changes what is saved for the backward pass: the saved
    tensors must be those of the forward pass.
    """
    norms = [norm for norm in module.modules() if isinstance(norm, _BatchNorm)]
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, batches) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, batches


def checkpoint_stages(module: nn.Module) -> None:
    """Switch gradient checkpointing on in every `Stage` of a module."""
    for stage in module.modules():
        if isinstance(stage, Stage):
            stage.recompute = True
