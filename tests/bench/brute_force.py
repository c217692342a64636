"""The published definitions of the pixel metrics, one threshold and one region at a time."""

from itertools import pairwise

import numpy as np
from scipy.ndimage import label


def components(masks):
    """``(image, mask)`` of every region, by SciPy."""
    found = []
    for image, mask in enumerate(masks):
        labels, count = label(mask, structure=np.ones((3, 3)))
        found += [(image, labels == number) for number in range(1, count + 1)]
    return found


def overlap_curve(maps, regions, saturation=None):
    """False-positive rates and mean overlaps at every distinct threshold, from none flagged."""
    maps = maps.astype(np.float64)
    inside = np.zeros(maps.shape, bool)
    for image, region in regions:
        inside[image] |= region
    rates, overlaps = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        flagged = maps >= threshold
        rates.append((flagged & ~inside).sum() / (~inside).sum())
        shares = []
        for number, (image, region) in enumerate(regions):
            enough = region.sum() if saturation is None else saturation[number]
            shares.append(min((flagged[image] & region).sum() / enough, 1))
        overlaps.append(np.mean(shares))
    return np.array(rates), np.array(overlaps)


def area_up_to(rates, heights, limit):
    """Trapezoids up to the limit, the last of them cut by interpolation, over the limit."""
    area = 0.0
    for (x0, x1), (y0, y1) in zip(pairwise(rates), pairwise(heights), strict=True):
        if x0 >= limit:
            break
        end = min(x1, limit)
        if x1 > x0:
            height = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
            area += (end - x0) * (y0 + height) / 2
    return area / limit


def image_overlap_areas(maps, masks, low, high):
    """AUPIMO of each defective image, by numerical integration on a fine logarithmic axis.

    Between attained rates the overlap is linear in the rate.
    """
    maps = maps.astype(np.float64)
    empty = ~masks.any(axis=(1, 2))
    normal = maps[empty]
    thresholds = np.unique(maps)[::-1]
    rates = np.array([0.0, *[(normal >= t).mean() for t in thresholds]])
    edges = np.unique(np.concatenate(([low, high], rates[(rates > low) & (rates < high)])))
    areas = []
    for scores, mask in zip(maps[~empty], masks[~empty], strict=True):
        overlaps = np.array([0.0, *[(scores[mask] >= t).mean() for t in thresholds]])
        # Where several thresholds attain one rate, the overlap jumps there: inside a step it goes
        # from the last of the left rate to the first of the right.
        area = 0.0
        for begin, end in pairwise(edges):
            middle = np.sqrt(begin * end)
            right = int(np.searchsorted(rates, middle))
            left = right - 1
            x = np.exp(np.linspace(np.log(begin), np.log(end), 2001))
            weight = (x - rates[left]) / (rates[right] - rates[left])
            y = overlaps[left] + weight * (overlaps[right] - overlaps[left])
            area += np.trapezoid(y, np.log(x))
        areas.append(area / np.log(high / low))
    return np.array(areas)
