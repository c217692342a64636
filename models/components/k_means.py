"""k-means clustering (Lloyd's algorithm) on the points' device."""

import torch
from torch import Tensor
from torch.nn import functional as F

from models.components.nearest_centers import nearest

_PASSES = 25


@torch.no_grad()
def k_means(points: Tensor, count: int) -> Tensor:
    """Centers of clusters.

    Starts from points drawn by torch's global generator and makes a fixed number of passes, so that
    nothing waits for the device. A cluster that loses all its points keeps its center.

    Args:
        points: ``(N, D)`` float32.
        count: How many clusters, at most N.

    Returns:
        ``(count, D)``.
    """
    # Drawn on the host: one seed starts from the same points on every device.
    centers = points[torch.randperm(len(points))[:count].to(points.device)]
    for _ in range(_PASSES):
        # Sums as a matrix product: index_add_ is not deterministic on a GPU.
        members = F.one_hot(nearest(points, centers, 1)[:, 0], count).to(points.dtype)
        sizes = members.sum(dim=0)[:, None]
        means = members.T @ points / sizes.clamp_min(1)
        centers = torch.where(sizes > 0, means, centers)
    return centers
