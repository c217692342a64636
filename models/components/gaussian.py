"""Streamed Gaussians, one per position of a feature map, and Mahalanobis distances to them.

Defard et al., "PaDiM", 2020, section III-B and equations 1 and 2. Distances use a factor of the
inverse covariance S⁻¹, never the inverse itself:

* n ≥ C images of C channels: S = L Lᵀ and W = L⁻¹, ``(C, C)``, so that WᵀW = S⁻¹;
* n < C: with X ``(n, C)`` the centered samples, S = XᵀX / (n − 1) + λI. By the Woodbury identity
  S⁻¹ = (I − VᵀV) / λ, where V = K⁻¹X ``(n, C)`` and K Kᵀ = XXᵀ + λ(n − 1)I. For the 550 channels of
  wide_resnet50_2 and 209 images this takes a third of the memory and of the time.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from models.components.checkpoints import DynamicBuffers
from models.components.errors import TooFewImagesError
from models.components.moments import SecondMoments

Piece = TypeVar("Piece")
Result = TypeVar("Result")

Samples = Callable[[slice], Tensor]
"""Returns ``(p, B, C)`` float32 samples of a slice of positions, so that not all are in memory."""

_WORKSPACE = {"cpu": 1 << 22}
"""Numbers of the covariances processed at once, by device type: 16 MiB on a CPU, small enough for
its cache and for the allocator to reuse."""

_SAMPLES = 1 << 18
"""Numbers per image for which distances are computed at once: about 100 MB with copies for a batch
of 32."""

_LARGE_WORKSPACE = 1 << 26
"""The workspace of other devices: 256 MiB, since small blocks leave them idle."""


class PositionGaussians(DynamicBuffers):
    """Gaussians of C channels at P positions.

    Attributes:
        mean: ``(P, C)``; empty before `compute`.
        whitening: W ``(P, C, C)``, or V ``(P, n, C)`` with fewer samples than channels.

    Args:
        channels: Number of channels C.
        regularization: λ, added to the diagonal of every covariance.
    """

    def __init__(self, channels: int, regularization: float = 0.01) -> None:
        super().__init__()
        self.channels = channels
        self.regularization = regularization
        self.mean: Tensor
        self.whitening: Tensor
        self.register_dynamic_buffer("mean", "positions", channels)
        self.register_dynamic_buffer("whitening", "positions", "rows", channels)
        self._blocks: list[SecondMoments] = []

    @property
    def is_empty(self) -> bool:
        """Whether no samples were added since the last `compute`."""
        return not self._blocks

    def update(self, samples: Samples, positions: int) -> None:
        """Add samples at all positions; their number is the same in every call."""
        slices = self._slices(positions)
        self._blocks = self._blocks or [SecondMoments() for _ in slices]
        for moments, block in zip(self._blocks, slices, strict=True):
            moments.add(samples(block))

    def compute(self) -> None:
        """Compute W or V block by block and drop the samples.

        Raises:
            ValueError: Fewer than two samples, or covariances that are not positive definite.
        """
        blocks, self._blocks = dict(enumerate(self._blocks)), []
        count = blocks[0].count if blocks else 0
        if count < 2:
            raise TooFewImagesError(
                f"A Gaussian needs at least two images for its covariance: found {count}. Add "
                "normal images to the training split."
            )
        positions, device = sum(block.positions for block in blocks.values()), self.mean.device
        mean = torch.empty(positions, self.channels, device=device)
        whitening = torch.empty(positions, min(count, self.channels), self.channels, device=device)

        def whiten(numbered: tuple[int, slice]) -> Tensor:
            number, block = numbered
            moments = blocks.pop(number)  # frees its samples before the next block
            mean[block], whitening[block], wrong = self._whitened(moments)
            return wrong

        failed = torch.stack(
            map_single_threaded(whiten, enumerate(self._slices(positions)), device)
        ).any()
        if failed:
            raise ValueError(
                "A covariance of the training features is not positive definite in float32: they "
                "are not finite, or vary by hundreds in some direction. Check the backbone's "
                "weights, which give such features."
            )
        self.mean, self.whitening = mean, whitening

    def _whitened(self, moments: SecondMoments) -> tuple[Tensor, Tensor, Tensor]:
        """Return a block's mean, W or V, and whether a factorization failed (on the device)."""
        if moments.count < self.channels:
            mean, samples = moments.centered()
            diagonal = self.regularization * (moments.count - 1)
            factor, failed = _cholesky(samples @ samples.mT, diagonal)
            right = samples.mT
        else:
            mean, covariance = moments.covariance()
            factor, failed = _cholesky(covariance, self.regularization)
            right = torch.eye(self.channels, device=mean.device).expand_as(covariance)
        # (Lᵀ)⁻¹ from the right instead of L⁻¹ from the left: half the time in MKL.
        solved = torch.linalg.solve_triangular(factor.mT, right, upper=True, left=False)
        return mean, solved.mT, failed

    def distances(self, samples: Samples) -> Tensor:
        """Return Mahalanobis distances ``(P, B)`` of B samples at each position."""
        # Larger blocks than in `compute`: each costs a synchronization of threads.
        size = max(1, _SAMPLES // self.channels)
        slices = [slice(begin, begin + size) for begin in range(0, len(self.mean), size)]
        return torch.cat([self._distances(samples(block), block) for block in slices])

    def _distances(self, samples: Tensor, block: slice) -> Tensor:
        delta, whitening = samples - self.mean[block, None], self.whitening[block]
        squares = (delta @ whitening.mT).square_().sum(dim=2)
        if whitening.shape[1] < self.channels:
            squares = (delta.square_().sum(dim=2) - squares) / self.regularization
        return squares.clamp_(min=0).sqrt_()

    def _slices(self, positions: int) -> list[slice]:
        """Split positions into blocks whose covariances fit the workspace."""
        numbers = _WORKSPACE.get(self.mean.device.type, _LARGE_WORKSPACE)
        size = max(1, numbers // self.channels**2)
        return [slice(begin, begin + size) for begin in range(0, positions, size)]


def _cholesky(matrices: Tensor, diagonal: float) -> tuple[Tensor, Tensor]:
    """Factor symmetric matrices plus a diagonal in place; also return whether any failed."""
    matrices.diagonal(dim1=1, dim2=2).add_(diagonal)
    factors, info = torch.linalg.cholesky_ex(matrices)
    # NaN input need not set `info`.
    return factors, (info != 0).any() | ~factors.diagonal(dim1=1, dim2=2).isfinite().all()


def map_single_threaded(
    work: Callable[[Piece], Result], pieces: Iterable[Piece], device: torch.device
) -> list[Result]:
    """Return the results of work on each piece, without gradient; one thread per piece on a CPU.

    MKL splits the factorization and the triangular solve of every single matrix among the threads,
    which synchronize thousands of times per second. On two cores next to another busy process,
    4,096 factorizations of 100 × 100 matrices take 18 to 52 s that way, and 0.8 s on one thread.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1:
        return [work(piece) for piece in pieces]

    def alone(piece: Piece) -> Result:
        torch.set_num_threads(1)  # applies to this thread and to MKL
        with torch.no_grad():
            return work(piece)

    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(alone, pieces))
    finally:
        torch.set_num_threads(threads)
