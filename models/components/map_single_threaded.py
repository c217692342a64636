"""Work of many small matrices: split among threads by whole pieces, not within a matrix."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def map_single_threaded(
    work: Callable[[Piece], Result], pieces: Iterable[Piece], device: torch.device
) -> list[Result]:
    """The results of work on each piece, without gradient; on a CPU a thread each, side by side.

    MKL's factorizations and triangular solves split every single matrix among the threads, which
    then wait for each other thousands of times a second. On two cores, 4,096 factorizations of
    100 × 100 so take 18 to 52 s beside one other busy process, and 0.8 s on one thread.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        return [work(piece) for piece in pieces]

    def alone(piece: Piece) -> Result:
        torch.set_num_threads(1)  # of this thread, and of MKL
        with torch.no_grad():
            return work(piece)

    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(alone, pieces))
    finally:
        torch.set_num_threads(threads)
