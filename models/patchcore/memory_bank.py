"""The memory bank: normal patch features, and how far other patches are from them."""

import torch
from torch import Tensor

from models.components.checkpoints import DynamicBuffers
from models.components.nearest_neighbors import Bank, Points, nearest_point, principal_subspace

_QUERIES = 4096


class MemoryBank(DynamicBuffers):
    """Patch features, prepared once for the search of nearest ones.

    Attributes:
        mean: ``(d,)``.
        patches: ``(M, d)`` features less their mean: products of these lose less to rounding. Empty
            before `fill`.

    Args:
        channels: d.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mean: Tensor
        self.patches: Tensor
        self.register_dynamic_buffer("mean", channels)
        self.register_dynamic_buffer("patches", "patches", channels)
        self._basis: Tensor | None = None
        self._bank: Bank | None = None

    def __len__(self) -> int:
        return len(self.patches)

    def fill(self, patches: Tensor) -> None:
        """Hold features ``(M, d)``."""
        self.mean = patches.mean(dim=0)
        self.patches = patches - self.mean
        self._prepared()

    def nearest(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest patch of the bank, exactly.

        Needs what `models.components.nearest_neighbors` does, and copies of 4,096 queries.

        Args:
            queries: ``(Q, d)``.

        Returns:
            Euclidean distances ``(Q,)`` and indices ``(Q,)``.
        """
        bank = self._prepared()
        squares, indices = [], []
        for part in torch.split(queries, _QUERIES):
            points = Points.of(part - self.mean, self._basis)
            square, index = nearest_point(points, bank)
            squares.append(square)
            indices.append(index)
        return torch.cat(squares).sqrt_(), torch.cat(indices)

    def neighborhood(self, indices: Tensor, count: int) -> Tensor:
        """The patches nearest to some of the bank's own.

        Args:
            indices: ``(B,)`` of patches.
            count: How many; all where the bank holds fewer.

        Returns:
            ``(B, count)`` indices, the patch itself first.
        """
        bank = self._prepared()
        distances = torch.addmm(bank.squares, bank.rows[indices], bank.rows.T, alpha=-2)
        distances.scatter_(1, indices[:, None], -torch.inf)
        return distances.topk(min(count, len(self)), largest=False).indices

    def distances(self, queries: Tensor, indices: Tensor) -> Tensor:
        """Euclidean distances ``(B, K)`` of queries ``(B, d)`` to patches ``(B, K)``."""
        centered = (queries - self.mean)[:, None]
        distances: Tensor = torch.linalg.vector_norm(centered - self.patches[indices], dim=2)
        return distances

    def _prepared(self) -> Bank:
        """What is searched; made anew where the patches were moved to another device."""
        if self._bank is None or self._bank.rows is not self.patches:
            # A GPU multiplies whole features in less time than it takes to select.
            cpu = self.patches.device.type == "cpu"
            self._basis = principal_subspace(self.patches) if cpu else None
            self._bank = Bank.of(Points.of(self.patches, self._basis))
        return self._bank
