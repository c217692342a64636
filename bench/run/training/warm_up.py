"""An unmeasured dry pass, so that the first case of a process does not pay for warming up.

Libraries load, threads start and kernels are chosen when they are first used; that took 2.3 of the
7.4 s that a short case seemed to need when it ran first.
"""

import copy
import logging
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from models.components.base import AnomalyModel

_log = logging.getLogger(__name__)
_done: set[object] = set()


def warm_up(
    model: AnomalyModel,
    key: object,
    passes: Iterable[Callable[[AnomalyModel], object]],
    device: torch.device,
) -> None:
    """Run passes on copies of a model, once per process and key; whatever they raise is ignored.

    The model, its results and the state of all random numbers are as if nothing had run.

    Args:
        model: The model, on its device.
        key: What decides which kernels run, such as model and sizes.
        passes: Each runs a part of what will be measured, on little data.
        device: Where the model is.
    """
    if key in _done:
        return
    _done.add(key)
    with _same_random_numbers(device):
        for run in passes:
            try:
                # The backbone is frozen: it need not be copied.
                run(copy.deepcopy(model, {id(model.backbone): model.backbone}))
            except Exception as error:  # the measured pass raises it again, where it is handled
                _log.debug("a dry pass ended early: %s", error)


@contextmanager
def _same_random_numbers(device: torch.device) -> Iterator[None]:
    """Leave the random numbers of torch, NumPy and Python as they were."""
    python, numbers = random.getstate(), np.random.get_state()  # noqa: NPY002 - a model may use it
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)  # noqa: NPY002
