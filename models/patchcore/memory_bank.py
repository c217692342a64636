"""Memory bank of normal patch features with nearest neighbor search."""

import torch
from torch import Tensor

from models.components.checkpoints import DynamicBuffers
from models.components.nearest_neighbors import Bank, Points, nearest_point, principal_subspace
from models.components.nominal_flops import counts_as

_QUERIES = 4096  # 16 MiB of 1,024 channels


class MemoryBank(DynamicBuffers):
    """Patch features, prepared once for nearest neighbor search.

    Attributes:
        mean: ``(d,)`` mean of the features.
        patches: ``(M, d)`` features minus their mean, whose products lose less to rounding; empty
            before `fill`.

    Args:
        channels: Number of channels d.
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
        """Store features ``(M, d)``."""
        self.mean = patches.mean(dim=0)
        self.patches = patches - self.mean
        self._prepared()

    def nearest(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distance and index of the nearest patch of each query.

        Takes the memory of `nearest_point` and copies of 4,096 queries.

        Args:
            queries: ``(Q, d)``.

        Returns:
            Euclidean distances ``(Q,)`` and indices ``(Q,)``.
        """
        if torch.compiler.is_exporting():
            return self._nearest_of_all(queries)
        bank = self._prepared()
        squares, indices = [], []
        with counts_as(2 * len(queries) * self.patches.numel()):
            for part in torch.split(queries, _QUERIES):
                points = Points.of(part - self.mean, self._basis)
                square, index = nearest_point(points, bank)
                squares.append(square)
                indices.append(index)
        return torch.cat(squares).sqrt_(), torch.cat(indices)

    def _nearest_of_all(self, queries: Tensor) -> tuple[Tensor, Tensor]:
        """Return the same from all distances: an exported graph cannot select points."""
        centered, bank = queries - self.mean, self._prepared()
        indices = torch.addmm(bank.squares, centered, bank.rows.T, alpha=-2).argmin(dim=1)
        return torch.linalg.vector_norm(centered - bank.rows[indices], dim=1), indices

    def neighborhood(self, indices: Tensor, count: int) -> Tensor:
        """Return the patches nearest to some patches of the bank.

        Args:
            indices: ``(B,)`` indices of patches.
            count: Number of neighbors, at most the size of the bank.

        Returns:
            ``(B, count)`` indices, the patch itself first.
        """
        bank = self._prepared()
        distances = torch.addmm(bank.squares, bank.rows[indices], bank.rows.T, alpha=-2)
        distances.scatter_(1, indices[:, None], -torch.inf)
        return distances.topk(min(count, len(self)), largest=False).indices

    def distances(self, queries: Tensor, indices: Tensor) -> Tensor:
        """Return distances ``(B, K)`` of queries ``(B, d)`` to patches with indices ``(B, K)``."""
        centered = (queries - self.mean)[:, None]
        distances: Tensor = torch.linalg.vector_norm(centered - self.patches[indices], dim=2)
        return distances

    def _prepared(self) -> Bank:
        """Return the prepared bank, again after the patches moved to another device."""
        if torch.compiler.is_exporting():
            return Bank.of(Points.of(self.patches, None))
        if self._bank is None or self._bank.rows is not self.patches:
            # On a GPU, products of all channels are faster than pruning by bounds.
            cpu = self.patches.device.type == "cpu"
            self._basis = principal_subspace(self.patches) if cpu else None
            self._bank = Bank.of(Points.of(self.patches, self._basis))
        return self._bank
