"""Greedy k-center coresets (Sener and Savarese, ICLR 2018), exact and without N·k distances.

Each pick is the point farthest from its nearest center. Distances only shrink as centers are added,
so old ones are upper bounds: a pass brings the largest up to date, then picks among those points
for as long as the best is no less than every bound outside. Points close to early centers are
never looked at again. `models.components.nearest_neighbors` decides which distances have to be
computed at all.
"""

import torch
from torch import Tensor

from models.components.nearest_neighbors import Bank, Points, nearest_point, principal_subspace

_CANDIDATES = 4096
_ROWS = 256
_STRETCH = 32
_CHOSEN = -1.0


def k_center_greedy(points: Tensor, count: int, start: int) -> Tensor:
    """The picks of the greedy algorithm.

    Args:
        points: ``(N, d)`` float32.
        count: How many picks.
        start: Index of the first.

    Returns:
        ``(count,)`` indices in the order they were picked, on the points' device. Of equally far
        points the first is picked, to rounding, and no point twice.

    Raises:
        ValueError: Not 1 ≤ count ≤ N, or points that are not finite.
    """
    greedy = _Greedy(points, count)
    rows = greedy.points.rows
    greedy.bound = (rows - rows[start]).square_().sum(dim=1)
    greedy.pick(torch.tensor([start], device=points.device))
    greedy.seen.fill_(1)
    return greedy.run()


def k_center_greedy_approximate(points: Tensor, count: int, starts: Tensor) -> Tensor:
    """The same begun with mean distances to some points, as PatchCore's official code does.

    Until a center is nearer, a point is as far as its mean distance to the starts, which are not
    picks themselves.

    Args:
        points: ``(N, d)`` float32.
        count: How many picks.
        starts: ``(S,)`` indices.

    Returns:
        As `k_center_greedy`.

    Raises:
        ValueError: As there.
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
        points: N of them, of zero mean, or products would lose what distances differ by.
        bound: ``(N,)`` squared distance to the nearest of the first ``seen`` picks, which never is
            less than that to all.
        seen: ``(N,)``.
        done: How many are picked.
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
        """All picks."""
        while self.done < len(self.picks):
            candidates, outside = self._largest()
            self._bring_up_to_date(candidates)
            # Equal to a bound outside is enough for those before it.
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
        """Points of the largest bounds, and the largest bound of the others with its first point.

        Of equal bounds the first points are taken.
        """
        count = min(_CANDIDATES, len(self.bound) - self.done)
        largest = self.bound.topk(min(count + 1, len(self.bound))).values
        least, beyond = largest[count - 1].item(), largest[-1].item()
        above = (self.bound > least).nonzero().squeeze(1)
        equal = (self.bound == least).nonzero().squeeze(1)
        taken = count - len(above)
        candidates = torch.cat([above, equal[:taken]])
        first = int(equal[taken]) if len(equal) > taken else len(self.bound)
        return candidates, (beyond, first)

    def _bring_up_to_date(self, candidates: Tensor) -> None:
        candidates = candidates[self.seen[candidates].argsort(stable=True)]
        for part in torch.split(candidates, _ROWS):
            since = int(self.seen[part[0]])
            if since < self.done:
                bank = self.centers[since : self.done]
                self.bound[part] = nearest_point(self.points[part], bank, self.bound[part])[0]
        self.seen[candidates] = self.done

    def _pick_among(self, candidates: Tensor, outside: float) -> None:
        """Pick while the largest distance is no less than any outside."""
        if not len(candidates):
            return
        bound = self.bound[candidates]
        between = _pairwise(self.points[candidates])
        chosen: list[Tensor] = []
        left = len(self.picks) - self.done
        while left:
            stretch, values, after = _stretch(bound, between, min(_STRETCH, left))
            valid = int((values >= max(outside, 0.0)).sum())  # they only shrink
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
    """``(P, P)`` squared distances; below zero to itself, so that nothing is picked twice."""
    squares = points.squares
    between = torch.addmm(squares, points.rows, points.rows.T, alpha=-2)
    between.add_(squares[:, None]).clamp_min_(0)
    return between.fill_diagonal_(_CHOSEN)


def _stretch(bound: Tensor, between: Tensor, length: int) -> tuple[Tensor, Tensor, Tensor]:
    """Some picks at once, so that a GPU need not be waited for after each.

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
