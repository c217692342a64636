"""Early stopping by the training loss; the test set has no influence on it."""

from collections.abc import Sequence
from statistics import fmean

from models.catalog import Recipe


def stops_early(
    losses: Sequence[float], batch: int, count: int, recipe: Recipe, first: int = 0
) -> str:
    """Return why training stops after these steps; empty if it goes on, as within a pass.

    It depends on the losses alone, so that a resumed training stops where an unbroken one does.

    Args:
        losses: Loss of every step.
        batch: Images per step.
        count: Images per pass.
        recipe: ``target_loss``, ``patience`` and ``min_delta``.
        first: Step with which the last phase, or the continuation of a finished training, begins;
            passes that began before do not count.
    """
    if recipe.target_loss is None and recipe.patience is None:
        return ""
    if not _ends_pass(len(losses) - 1, batch, count):
        return ""
    means = pass_means(losses, batch, count, first)
    if not means:
        return ""
    if recipe.target_loss is not None and means[-1] <= recipe.target_loss:
        return (
            f"the mean loss of pass {len(means)}, {means[-1]:.4g}, is at most the target of "
            f"{recipe.target_loss:.4g}"
        )
    if recipe.patience is None or len(means) <= recipe.patience:
        return ""
    best, late = min(means[: -recipe.patience]), min(means[-recipe.patience :])
    if late < best - recipe.min_delta:
        return ""
    return f"the mean loss has not fallen below {best:.4g} for {recipe.patience} passes"


def pass_means(losses: Sequence[float], batch: int, count: int, first: int = 0) -> list[float]:
    """Return the mean loss of every completed pass; a step counts in the pass where it ends.

    Passes that began before the step ``first`` are left out.

    >>> pass_means([4.0, 2.0, 3.0, 1.0], batch=5, count=10)
    [3.0, 2.0]
    >>> pass_means([4.0, 2.0, 3.0, 1.0], batch=5, count=10, first=1)
    [2.0]
    """
    means: list[float] = []
    begin = 0
    for step in range(len(losses)):
        if _ends_pass(step, batch, count):
            if begin >= first:
                means.append(fmean(losses[begin : step + 1]))
            begin = step + 1
    return means


def _ends_pass(step: int, batch: int, count: int) -> bool:
    return step >= 0 and (step + 1) * batch // count > step * batch // count
