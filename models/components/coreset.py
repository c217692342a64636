"""Greedy k-center coresets (Sener and Savarese, ICLR 2018), exact but without all N·k distances.

Each pick is the point farthest from its nearest center. Distances only shrink as centers are added,
so old ones are upper bounds: a pass refreshes the largest bounds, then picks among these points
while the best is at least every other bound. Points close to early centers are never visited again.
`models.components.nearest_neighbors` prunes the distances that a refresh computes.
"""

import torch
from torch import Tensor

from models.components.nearest_neighbors import Bank, Points, nearest_point, principal_subspace

_CANDIDATES = 4096  # bounds refreshed per pass; their pairwise distances take 64 MB
_ROWS = 256
_STRETCH = 32  # picks between two synchronizations with the device
_CHOSEN = -1.0  # bound of a picked point, below any squared distance


def k_center_greedy(points: Tensor, count: int, start: int) -> Tensor:
    """Return the picks of the greedy algorithm.

    Args:
        points: ``(N, d)`` float32.
        count: Number of picks.
        start: Index of the first pick.

    Returns:
        ``(count,)`` indices in the order of picking, on the points' device. No point is picked
        twice; ties go to the first point, up to rounding.

    Raises:
        ValueError: ``count`` is not in [1, N], or points are not finite.
    """
    greedy = _Greedy(points, count)
    rows = greedy.points.rows
    greedy.bound = (rows - rows[start]).square_().sum(dim=1)
    greedy.pick(torch.tensor([start], device=points.device))
    greedy.seen.fill_(1)
    return greedy.run()


def k_center_greedy_approximate(points: Tensor, count: int, starts: Tensor) -> Tensor:
    """Return greedy picks that begin with mean distances, as in PatchCore's official code.

    The initial distance of a point is its mean distance to the starts, which are not picks.

    Args:
        points: ``(N, d)`` float32.
        count: Number of picks.
        starts: ``(S,)`` indices of the points that initial distances are measured to.

    Returns:
        ``(count,)`` indices, as from `k_center_greedy`.

    Raises:
        ValueError: ``count`` is not in [1, N], or points are not finite.
    """
    greedy = _Greedy(points, count)
    rows = greedy.points.rows
    total = torch.zeros_like(greedy.bound)
    for start in starts:
        total += torch.linalg.vector_norm(rows - rows[start], dim=1)
    greedy.bound = (total / len(starts)).square_()
    return greedy.run()


class _Greedy:
    """State of the algorithm.

    Attributes:
        points: N points of zero mean, which keeps products small against float32 rounding.
        bound: ``(N,)`` squared distance to the nearest of the first ``seen`` picks: an upper bound
            of the distance to the nearest of all picks.
        seen: ``(N,)`` number of picks each bound accounts for.
        done: Number of picks so far.
    """

    def __init__(self, points: Tensor, count: int) -> None:
        if not 1 <= count <= len(points):
            raise ValueError(
                f"A coreset holds at least one point and none twice: wanted 1 to {len(points)}, "
                f"found {count}. Change the ratio or give more images."
            )
        if not points.isfinite().all():
            raise ValueError(
                "A coreset needs finite points: found infinite or undefined ones. Check the images "
                "and the backbone's weights."
            )
        rows = points - points.mean(dim=0)
        basis = principal_subspace(rows) if rows.device.type == "cpu" else None
        self.points = Points.of(rows, basis)
        self.centers = Bank.allocate(self.points, count)
        self.picks = torch.empty(count, dtype=torch.long, device=rows.device)
        self.done = 0
        self.bound = rows.new_empty(len(rows))
        self.seen = torch.zeros_like(self.bound, dtype=torch.long)

    def run(self) -> Tensor:
        """Return all picks."""
        while self.done < len(self.picks):
            candidates, outside = self._largest()
            self._refresh(candidates)
            # A tie with the largest outside bound is won by the point of the smaller index.
            bound = self.bound[candidates]
            free = (bound > outside[0]) | ((bound == outside[0]) & (candidates < outside[1]))
            self._pick_among(candidates[free].sort().values, outside[0])
        return self.picks

    def pick(self, chosen: Tensor) -> None:
        """Make points ``(P,)`` centers."""
        end = self.done + len(chosen)
        self.picks[self.done : end] = chosen
        self.centers.put(self.done, self.points[chosen])
        self.bound[chosen] = _CHOSEN
        self.done = end

    def _largest(self) -> tuple[Tensor, tuple[float, int]]:
        """Return the points of the largest bounds; the largest other bound with its first point."""
        count = min(_CANDIDATES, len(self.bound) - self.done)
        largest = self.bound.topk(min(count + 1, len(self.bound))).values
        # The k + 1 largest values give both the threshold and the largest bound outside.
        least, beyond = largest[count - 1].item(), largest[-1].item()
        above = (self.bound > least).nonzero().squeeze(1)
        equal = (self.bound == least).nonzero().squeeze(1)
        taken = count - len(above)
        candidates = torch.cat([above, equal[:taken]])
        first = int(equal[taken]) if len(equal) > taken else len(self.bound)
        return candidates, (beyond, first)

    def _refresh(self, candidates: Tensor) -> None:
        # Sorted by age, the points of a part lack nearly the same picks.
        candidates = candidates[self.seen[candidates].argsort(stable=True)]
        for part in torch.split(candidates, _ROWS):
            since = int(self.seen[part[0]])
            if since < self.done:
                bank = self.centers[since : self.done]
                self.bound[part] = nearest_point(self.points[part], bank, self.bound[part])[0]
        self.seen[candidates] = self.done

    def _pick_among(self, candidates: Tensor, outside: float) -> None:
        """Pick while the largest distance is at least the largest bound outside."""
        if not len(candidates):
            return
        bound = self.bound[candidates]
        between = _pairwise(self.points[candidates])
        chosen: list[Tensor] = []
        left = len(self.picks) - self.done
        while left:
            stretch, values, after = _stretch(bound, between, min(_STRETCH, left))
            valid = int((values >= max(outside, 0.0)).sum())  # values only shrink
            chosen.append(stretch[:valid])
            left -= valid
            if valid < len(stretch):
                bound = torch.cat([bound[None], between[stretch[:valid]]]).amin(dim=0)
                break
            bound = after
        picks = torch.cat(chosen)
        self.bound[candidates] = bound
        self.seen[candidates] = self.done + len(picks)
        self.pick(candidates[picks])


def _pairwise(points: Points) -> Tensor:
    """Return ``(P, P)`` squared distances; the diagonal is negative: no point is picked twice."""
    squares = points.squares
    between = torch.addmm(squares, points.rows, points.rows.T, alpha=-2)
    between.add_(squares[:, None]).clamp_min_(0)
    return between.fill_diagonal_(_CHOSEN)


def _stretch(bound: Tensor, between: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pick several points without synchronizing with a GPU after each.

    Returns:
        Indices ``(length,)`` and their distances when picked, and the bounds after them.
    """
    bound = bound.clone()
    indices, values = [], []
    for _ in range(length):
        value, index = bound.max(dim=0, keepdim=True)
        torch.minimum(bound, between.index_select(0, index)[0], out=bound)
        indices.append(index)
        values.append(value)
    return torch.cat(indices), torch.cat(values), bound
