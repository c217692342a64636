"""What an ensemble's maps gain on the report half, from the maps that its members keep."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.ensemble.choose import Choice
from bench.ensemble.members import Member, NoMemberError, read_arrays
from bench.metrics.bootstrap import Interval, Statistic, bootstrap
from bench.metrics.overlap import aupro
from bench.metrics.ranking import auroc_of, average_precision, rank_regions
from bench.metrics.regions import Regions, label_regions
from bench.metrics.standardization import standardized
from bench.report.finished_run import unpacked_masks

_BINS = 1024
"""Bins of each class's quantiles, from which the resampled values come."""


@dataclass(frozen=True)
class KeptMaps:
    """Maps of one run.

    Attributes:
        maps: ``(N, H, W)`` float32 on the scale of the pixels of held-out normal images.
        masks: ``(N, H, W)`` booleans; None for images without masks.
        center: Median of these pixels, raw.
        spread: Their spread.
    """

    maps: Tensor
    masks: Tensor | None
    center: float
    spread: float


@dataclass(frozen=True)
class PixelGain:
    """Pixel metrics on the report half.

    Attributes:
        single: The member with the highest pixel AP on the selection half.
        values: Its value and the ensemble's by metric.
        gains: Gain with its paired 95 % interval over images, where there is one.
        left_out: Why members have no comparable maps, by name.
    """

    single: Member
    values: dict[str, tuple[float, float]]
    gains: dict[str, Interval]
    left_out: dict[str, str]


def load_maps(member: Member) -> KeptMaps:
    """Return a member's maps.

    Raises:
        NoMemberError: Its maps or those of held-out normal images are missing.
    """
    arrays = read_arrays(member.run, "maps")
    parts = [f"{part}.{member.head}" for part in ("maps", "range", "normal")]
    if missing := [part for part in parts if part not in arrays]:
        raise NoMemberError(f"its maps have no {', '.join(missing)}")
    stored, (low, high), (center, spread) = (arrays[part] for part in parts)
    if not spread:
        raise NoMemberError("all pixels of its held-out normal images are equal: no spread")
    raw = low + (high - low) * torch.from_numpy(stored).double()
    masks = None
    if "masks" in arrays:
        masks = torch.from_numpy(unpacked_masks(arrays["masks"], stored.shape))
    return KeptMaps(
        standardized(raw, center, spread).float(),
        masks,
        float(center),
        float(spread),
    )


def pixel_gain(choice: Choice) -> PixelGain:
    """Return pixel metrics of the chosen ensemble and of the best single model for pixels.

    Maps of another size are resized to the size that most members have.

    Raises:
        NoMemberError: A chosen member keeps no maps or no masks, or one half has no defect pixel.
    """
    kept: dict[Member, tuple[Tensor, Tensor]] = {}
    left_out: dict[str, str] = {}
    for member in choice.ranked:
        try:
            kept[member] = _maps_and_masks(member)
        except NoMemberError as error:
            left_out[member.name] = str(error)
    for member in choice.chosen.members:
        if member not in kept:
            raise NoMemberError(f"{member.name}: {left_out[member.name]}")
    sizes = Counter(tuple(own.shape[1:]) for own, _ in kept.values())
    size = sizes.most_common(1)[0][0]
    masks = next(truth for _, truth in kept.values() if tuple(truth.shape[1:]) == size)
    maps = {member: _resized(own, size) for member, (own, _) in kept.items()}
    half = choice.half
    if not all(bool(masks[rows].any()) for rows in (half, ~half)):
        raise NoMemberError("no defect pixel in one of the halves")
    regions = label_regions(masks[half])
    single = max(
        maps, key=lambda member: average_precision(rank_regions(maps[member][half], regions))
    )
    theirs = maps[single][~half]
    ours = torch.stack([maps[member][~half] for member in choice.chosen.members]).mean(0)
    regions = label_regions(masks[~half])
    first, second = (_values(each, regions) for each in (theirs, ours))
    labels = choice.panel.members[0].labels[~half]
    return PixelGain(
        single,
        {name: (first[name], second[name]) for name in first},
        _gains(theirs, ours, masks[~half], labels),
        left_out,
    )


def _maps_and_masks(member: Member) -> tuple[Tensor, Tensor]:
    """Return the maps and masks ``(N, H, W)`` of a member.

    Raises:
        NoMemberError: One of them is missing.
    """
    own = load_maps(member)
    if own.masks is None:
        raise NoMemberError("its maps have no masks")
    return own.maps, own.masks


def _values(maps: Tensor, regions: Regions) -> dict[str, float]:
    ranks = rank_regions(maps, regions)
    return {
        "Pixel AUROC": auroc_of(ranks),
        "Pixel AP": average_precision(ranks),
        "AUPRO@30 %": aupro(ranks, regions)[0],
    }


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    if tuple(maps.shape[1:]) == tuple(size):
        return maps
    return F.interpolate(maps[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]


def _gains(theirs: Tensor, ours: Tensor, truth: Tensor, labels: Tensor) -> dict[str, Interval]:
    first, second = _statistics(theirs, truth), _statistics(ours, truth)

    def difference(name: str) -> Statistic:
        a, b = first[name], second[name]
        return lambda counts: b(counts) - a(counts)

    return {name: bootstrap(difference(name), labels) for name in first}


def _statistics(maps: Tensor, truth: Tensor) -> dict[str, Statistic]:
    """Return pixel AUROC and AP as functions of how often each image is drawn.

    Pixels are counted by bin once for each image; a resample adds these counts up. Bins are the
    quantiles of both classes, so that they are fine where either has pixels; pixels in a bin tie.
    """
    shares = torch.linspace(0, 1, _BINS, dtype=torch.float64)
    ascending = [maps[truth == positive].sort().values for positive in (True, False)]
    edges = torch.unique(torch.cat([a[(shares * (len(a) - 1)).long()] for a in ascending]))
    bins = torch.bucketize(maps.flatten(1), edges, right=True)
    count = len(edges) + 1
    place = bins + count * torch.arange(len(maps))[:, None]

    def histogram(weights: Tensor) -> Tensor:
        flat = place[weights.flatten(1)].bincount(minlength=count * len(maps))
        return flat.reshape(len(maps), count).flip(1).double()  # highest scores first

    positive, negative = histogram(truth), histogram(~truth)

    def auroc(counts: Tensor) -> Tensor:
        hits, false = counts.double() @ positive, counts.double() @ negative
        above = hits.cumsum(1) - hits / 2
        return (above * false).sum(1) / (hits.sum(1) * false.sum(1))

    def precision(counts: Tensor) -> Tensor:
        hits, false = counts.double() @ positive, counts.double() @ negative
        above = hits.cumsum(1)
        flagged = (above + false.cumsum(1)).clamp(min=1)
        return (hits * above / flagged).sum(1) / above[:, -1]

    return {"Pixel AUROC": auroc, "Pixel AP": precision}
