"""Pixel metrics of sets that do not fit into memory, from counts, each with a proven error bound.

A score falls into a bin by the leading bits of its float32 pattern, mapped so that order is kept:
any range of scores is covered, including infinities, bins have the same relative width everywhere,
and no pass is needed to find the range. Within a bin the order is unknown, so the truth lies
between what it would be with every such tie resolved against the positives and with every one
resolved in their favor. The value returned is the middle of the two, its error half the
distance between them; one more bit halves the width of the bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bench.metrics.inputs import comparable
from bench.metrics.overlap import areas
from bench.metrics.pimo import BOUNDS, log_share
from bench.metrics.ranking import Ranks
from bench.metrics.regions import Regions

BITS = 20
_MIN_BITS, _MAX_BITS = 9, 22  # from 9 bits on, −inf has a bin of its own
_PIECE = 1 << 22


@dataclass(frozen=True)
class Bounded:
    """A value whose exact counterpart lies within ``value`` ± ``error``."""

    value: float
    error: float


class ScoreHistogram:
    """Counts of scores by bin, added up map by map.

    Memory is 32 bytes per bin, plus for each defective image 16 bytes per bin its defect reaches.

    Args:
        bits: Leading bits that make a bin, 9 to 22.
        device: Device of the maps.

    Raises:
        ValueError: The bits are out of range.

    Example:
        >>> from bench.metrics.regions import label_regions
        >>> histogram = ScoreHistogram()
        >>> regions = label_regions(torch.tensor([[[0, 0], [1, 1]]]))
        >>> histogram.update(torch.tensor([[[0.1, 0.4], [0.4, 0.9]]]), regions)
        >>> histogram.auroc()  # the tie at 0.4 shares a bin
        Bounded(value=0.875, error=0.125)
    """

    def __init__(self, bits: int = BITS, device: torch.device | str = "cpu") -> None:
        if not _MIN_BITS <= bits <= _MAX_BITS:
            raise ValueError(f"wanted {_MIN_BITS} to {_MAX_BITS} bits, found {bits}")
        self.bits = bits
        counts = torch.zeros(3, 1 << bits, dtype=torch.int64, device=device)
        self.normal, self.negative, self.positive = counts
        """``(B,)`` int64 each: pixels of normal images, all negatives, positives."""
        self.overlap = torch.zeros(1 << bits, dtype=torch.float64, device=device)
        """``(B,)``: sum over positives of 1 / the size of their region."""
        self.images: list[tuple[Tensor, Tensor]] = []
        """For each defective image the bins of its positives, and their number in each."""

    def update(self, maps: Tensor, regions: Regions, normal: Tensor | None = None) -> None:
        """Count some images.

        Args:
            maps: ``(N, H, W)`` raw maps on the histogram's device.
            regions: Connected components of their masks.
            normal: ``(N,)`` booleans: the normal images; None for those with an empty mask.

        Raises:
            ValueError: A score is NaN, the maps are not floating point or of another shape.
        """
        if tuple(maps.shape) != regions.shape:
            raise ValueError(
                f"wanted maps of the masks' shape {regions.shape}, found {tuple(maps.shape)}"
            )
        regions = regions.to(maps.device)
        pixels = regions.offsets.diff()
        of_normal = (pixels == 0 if normal is None else normal).tolist()
        for scores, is_normal in zip(maps, of_normal, strict=True):
            for part in torch.split(scores.reshape(-1), _PIECE):
                counts = self._count(self._bins(part))
                self.negative += counts
                if is_normal:
                    self.normal += counts
        bins = self._bins(maps.reshape(-1)[regions.positions])
        counts = self._count(bins)
        self.positive += counts
        self.negative -= counts
        share = (1 / regions.sizes.double())[regions.ids.long()]
        self.overlap += torch.bincount(bins, share, minlength=1 << self.bits)
        for part in torch.split(bins, pixels[pixels > 0].tolist()):
            self.images.append(torch.unique(part, return_counts=True))

    def auroc(self) -> Bounded:
        """Return the AUROC; the error is half of the share of pairs that share a bin."""
        return self._area(self.positive.double(), [1.0])[0]

    def aupro(self, limits: Sequence[float] = (0.3,)) -> list[Bounded]:
        """Return `overlap.aupro` for each false-positive rate."""
        return self._area(self.overlap, limits)

    def average_precision(self) -> Bounded:
        """Return the average precision, step definition."""
        if self._one_class():
            return _between(float("nan"), float("nan"))
        inside, hits, false, reached = self._at_positives()
        # At best all positives of the bin come before its negatives, and each then has at most the
        # precision of the last of them.
        best = hits / (hits + false)
        # At worst all negatives of the bin come first. Of its positives then hit one by one, the
        # mean of x / (x + reached), which is concave, is at least that of first and last.
        first = hits - inside + 1
        worst = (first / (first + reached) + hits / (hits + reached)) / 2
        share = inside / inside.sum()
        return _between(float(worst @ share), float(best @ share))

    def f1_max(self) -> Bounded:
        """Return the highest F1 of any threshold; at least that of the best bin edge."""
        _, hits, false, reached = self._at_positives()
        total = int(self.positive.sum())
        infinite = int(self.positive[self._bins(torch.tensor([-torch.inf]))])
        flagged = slice(1 if infinite else 0, None)  # −inf is never above a threshold
        if self._one_class() or infinite == total:
            return _between(float("nan"), float("nan"))
        edge = 2 * hits / (hits + reached + total)
        ideal = 2 * hits / (hits + false + total)
        return _between(float(edge[flagged].max()), float(ideal[flagged].max()))

    def aupimo(self, bounds: tuple[float, float] = BOUNDS) -> Bounded:
        """Return the mean of `pimo.aupimo` over the defective images."""
        pixels = int(self.normal.sum())
        if not self.images or not pixels:
            return _between(float("nan"), float("nan"))
        low, high = (bound * pixels for bound in bounds)
        up_to = self.normal.cumsum(0)
        above = (pixels - up_to).double()
        reached = above + self.normal
        worst, best = log_share(reached, reached, low, high), log_share(above, above, low, high)
        ends = [
            torch.stack(
                [side[bins] @ counts.double() / counts.sum() for bins, counts in self.images]
            )
            for side in (worst, best)
        ]
        return _between(*(float(end.mean()) for end in ends))

    def _area(self, mass: Tensor, limits: Sequence[float]) -> list[Bounded]:
        if self._one_class():
            return [_between(float("nan"), float("nan"))] * len(limits)
        bins = self.positive.nonzero()[:, 0]
        up_to = self.negative.cumsum(0)
        ranks = Ranks(
            bins.double(), (up_to - self.negative)[bins], up_to[bins], int(self.negative.sum())
        )
        weights = mass[bins] / mass.sum()
        worst = areas(replace(ranks, up_to=ranks.below), weights, limits)
        best = areas(replace(ranks, below=ranks.up_to), weights, limits)
        return [_between(*ends) for ends in zip(worst, best, strict=True)]

    def _at_positives(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return four ``(K,)`` float64 counts at the K bins with positives, ascending.

        Positives inside the bin, positives from its lower edge up, negatives above its upper edge,
        and negatives from its lower edge up.
        """
        bins = self.positive.nonzero()[:, 0]
        # Flip, cumulate, flip: sums over the bin and all bins above it.
        hits, reached = (side.flip(0).cumsum(0).flip(0) for side in (self.positive, self.negative))
        quantities = (self.positive, hits, reached - self.negative, reached)
        inside, hits, false, reached = (each[bins].double() for each in quantities)
        return inside, hits, false, reached

    def _one_class(self) -> bool:
        return not (bool(self.positive.any()) and bool(self.negative.any()))

    def _bins(self, scores: Tensor) -> Tensor:
        scores = comparable(scores).float()
        if nans := int(scores.isnan().count_nonzero()):
            raise ValueError(f"{nans} of {len(scores)} scores are NaN: a NaN has no rank")
        pattern = (scores + 0.0).view(torch.int32)  # −0 becomes 0, to which it is equal
        # Float bits order like integers for positive numbers, in reverse for negative ones, where
        # the shift gives all ones: flip every bit but the sign.
        ordered = pattern ^ ((pattern >> 31) & 0x7FFFFFFF)
        # The leading bits, from −2^(bits − 1) up; shifted to start at 0.
        return (ordered >> (32 - self.bits)).long() + (1 << (self.bits - 1))

    def _count(self, bins: Tensor) -> Tensor:
        return torch.bincount(bins, minlength=1 << self.bits)


def _between(worst: float, best: float) -> Bounded:
    return Bounded((worst + best) / 2, (best - worst) / 2)
