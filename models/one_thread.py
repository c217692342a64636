"""One thread for work of many small matrices."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Compute on one thread, of a CPU's.

    MKL's factorisations and triangular solves split every single matrix among the threads, which
    then wait for each other thousands of times a second. On two cores, 4,096 factorisations of
    100 × 100 take 0.8 s on one thread; on two threads beside one busy process, 18 to 52 s.
    """
    before = torch.get_num_threads()
    if device.type != "cpu" or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
