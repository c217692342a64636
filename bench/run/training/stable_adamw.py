"""AdamW whose update is clipped by its root mean square (Wortsman et al., NeurIPS 2023)."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter


class StableAdamW(torch.optim.Optimizer):
    """AdamW with the update clipping of Adafactor, for each tensor separately.

    Where the gradient has outgrown its second moment, so that the root mean square r of
    ``gradient / denominator`` exceeds 1, the tensor's step is divided by r (Algorithm 2 of the
    paper). The weight decay is not, as in Dinomaly's official code; the paper divides both.

    Args:
        params: Parameters, or groups of parameters with settings of their own.
        lr: Learning rate.
        betas: Decay of the running means of the gradient and of its square.
        weight_decay: Decoupled weight decay, as AdamW's.
        eps: Added to the denominator.
        amsgrad: Divide by the largest second moment so far.

    Raises:
        ValueError: A setting is out of its range.
    """

    def __init__(
        self,
        params: Iterable[Parameter] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 0.01,
        eps: float = 1e-8,
        amsgrad: bool = False,
    ) -> None:
        if lr < 0 or weight_decay < 0 or eps < 0 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(
                "StableAdamW wanted lr, weight_decay and eps of at least 0 and betas in [0, 1), "
                f"found lr {lr}, weight_decay {weight_decay}, eps {eps}, betas {betas}. Change the "
                "recipe."
            )
        settings = {
            "lr": lr,
            "betas": betas,
            "weight_decay": weight_decay,
            "eps": eps,
            "amsgrad": amsgrad,
        }
        super().__init__(params, settings)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state, wherever its tensors are."""
        super().load_state_dict(state_dict)
        for state in self.state.values():
            state["step"] = state["step"].cpu()  # it is read at every step

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient, without waiting for the device."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if params:
                self._update(params, [param.grad for param in params], group)
        return loss

    def _update(self, params: list[Tensor], grads: list[Tensor], group: dict[str, Any]) -> None:
        (beta1, beta2), lr = group["betas"], group["lr"]
        states = [self._state(param, group["amsgrad"]) for param in params]
        means = [state["exp_avg"] for state in states]
        squares = [state["exp_avg_sq"] for state in states]
        for state in states:
            state["step"] += 1
        steps = [int(state["step"]) for state in states]  # on the CPU: no wait for the device

        torch._foreach_lerp_(means, grads, 1 - beta1)
        torch._foreach_mul_(squares, beta2)
        torch._foreach_addcmul_(squares, grads, grads, 1 - beta2)
        if group["amsgrad"]:
            largest = [state["max_exp_avg_sq"] for state in states]
            torch._foreach_maximum_(largest, squares)
            squares = largest
        denominators = torch._foreach_sqrt(squares)
        torch._foreach_div_(denominators, [math.sqrt(1 - beta2**step) for step in steps])
        torch._foreach_add_(denominators, group["eps"])
        torch._foreach_mul_(denominators, _clipping(grads, denominators))
        torch._foreach_mul_(params, 1 - lr * group["weight_decay"])
        torch._foreach_addcdiv_(
            params, means, denominators, [-lr / (1 - beta1**step) for step in steps]
        )

    def _state(self, param: Tensor, amsgrad: bool) -> dict[str, Tensor]:
        state: dict[str, Tensor] = self.state[param]
        if not state:
            # torch moves every state but the one of this name to the parameter's device.
            state["step"] = torch.zeros((), dtype=torch.float32)
            names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if amsgrad else [])]
            for name in names:
                state[name] = torch.zeros_like(param)
        return state


def _clipping(grads: list[Tensor], denominators: tuple[Tensor, ...]) -> list[Tensor]:
    """Return max(1, root mean square of gradient / denominator) by tensor, 0-dimensional."""
    norms = torch._foreach_norm(torch._foreach_div(grads, denominators))
    torch._foreach_mul_(norms, [grad.numel() ** -0.5 for grad in grads])
    torch._foreach_clamp_min_(norms, 1.0)
    return list(norms)
