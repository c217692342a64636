"""Optimizer, learning-rate schedule and order of images, as a recipe says."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from bench.run.training.light_optimizers import light
from bench.run.training.stable_adamw import StableAdamW
from models.catalog import ClassifierRecipe, Recipe

_DROP_AT = 0.95

_ADAMS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": partial(light(torch.optim.Adam), fused=True),
    "adamw": partial(light(torch.optim.AdamW), fused=True),
    "stable_adamw": StableAdamW,
}

Groups = list[tuple[float, list[Parameter]]]
"""Parameters by their factor on the recipe's learning rate."""


def build_optimizer(recipe: Recipe, parameters: Groups) -> torch.optim.Optimizer:
    """Return the recipe's optimizer over some groups of parameters.

    It is fused: on two CPU cores a step of Adam over 56 M parameters takes 76 ms, unfused 290 ms.
    """
    groups = _groups(recipe, parameters)
    if recipe.optimizer == "sgd":
        return light(torch.optim.SGD)(
            groups,
            recipe.lr,
            momentum=recipe.betas[0],
            weight_decay=recipe.weight_decay,
            fused=True,
        )
    return _ADAMS[recipe.optimizer](
        groups,
        recipe.lr,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        eps=recipe.eps,
        amsgrad=recipe.amsgrad,
    )


def _groups(recipe: Recipe, groups: Groups) -> list[dict[str, Any]]:
    """Return torch's parameter groups; classifiers decay neither biases nor norms."""
    found: list[dict[str, Any]] = []
    split = isinstance(recipe, ClassifierRecipe) and bool(recipe.weight_decay)
    for factor, parameters in groups:
        rate = {} if factor == 1.0 else {"lr": recipe.lr * factor}
        if split:
            vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
            parameters = [parameter for parameter in parameters if parameter.ndim > 1]
            found.append({"params": parameters, **rate})
            found.append({"params": vectors, "weight_decay": 0.0, **rate})
        else:
            found.append({"params": parameters, **rate})
    return found


def warmup_steps(recipe: Recipe, steps: int) -> int:
    """Return the number of warm-up steps; at most a tenth of the steps if counted in steps.

    A training that is shorter than the original's would otherwise end during its warm-up. Epochs of
    warm-up are a share of all epochs, and have been limited with them (`bench.changes`).
    """
    if recipe.warmup_steps:
        return min(recipe.warmup_steps, math.ceil(steps / 10))
    return round(steps * recipe.warmup_epochs / recipe.epochs)


def learning_rate_factor(step: int, steps: int, recipe: Recipe) -> float:
    """Return the factor on the learning rate at a step: linear warm-up, then the schedule.

    Everything is counted in steps, never in epochs.
    """
    warmup = warmup_steps(recipe, steps)
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if recipe.schedule == "constant":
        return 1.0
    if recipe.schedule == "drop":
        return 1.0 if step < _DROP_AT * steps else 0.1
    if recipe.schedule == "milestones":
        passed = sum(step >= milestone * steps for milestone in recipe.milestones)
        return float(recipe.gamma**passed)
    share = min(1.0, (step - warmup) / (recipe.decay_steps or max(1, steps - warmup)))
    left = 0.5 * (1.0 + math.cos(math.pi * share)) if recipe.schedule == "cosine" else 1.0 - share
    return recipe.final_factor + (1.0 - recipe.final_factor) * left


def order(count: int, images: int, seed: int) -> Tensor:
    """Return ``(images,)`` int64 rows: passes over ``count`` images, each shuffled anew.

    They are drawn at once, so that a resumed training draws the same and continues in place.
    """
    generator = torch.Generator().manual_seed(seed)
    passes = math.ceil(images / count)
    return torch.cat([torch.randperm(count, generator=generator) for _ in range(passes)])[:images]
