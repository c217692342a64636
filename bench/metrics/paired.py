"""Accuracies of classifiers on test images: intervals, and the test of a difference."""

import math
from statistics import NormalDist


def wilson_interval(right: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of an accuracy (Wilson 1927).

    It stays inside [0, 1] and has a width at accuracies of 0 and 1 as well.

    Args:
        right: Number of right images.
        images: Number of images.
        confidence: Nominal coverage.

    Raises:
        ValueError: There are no images, or more are right than there are.

    Example:
        >>> low, high = wilson_interval(36, 40)
        >>> round(low, 4), round(high, 4)
        (0.7695, 0.9604)
    """
    if not 0 <= right <= images or not images:
        raise ValueError(f"wanted 0 to N of N > 0 images to be right, found {right} of {images}")
    # SciPy's binomtest gives the same, but importing it would take a second in every run.
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, doubled = right / images, 2 * (images + z**2)
    center = (2 * images * share + z**2) / doubled
    reach = z / doubled * math.sqrt(4 * images * share * (1 - share) + z**2)
    return center - reach if right else 0.0, center + reach if right < images else 1.0


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the two-sided p of McNemar's exact test: are two classifiers right equally often?

    Only the images on which they disagree count. If neither is better, each of those falls to
    either side with a chance of one half (McNemar 1947). Without a disagreement p is 1.

    Args:
        only_first: Images that only the first gets right.
        only_second: Images that only the second gets right.

    Example:
        >>> mcnemar(1, 5)
        0.21875
    """
    from scipy.stats import binomtest

    total = only_first + only_second
    return float(binomtest(only_first, total).pvalue) if total else 1.0


def paired_difference(only_first: int, only_second: int, images: int) -> tuple[float, float]:
    """Return the adjusted 95 % Wald interval of second minus first (Bonett & Price 2012).

    A plain Wald interval with one image added to either kind of disagreement, so that few
    disagreements, or none, still leave a width.

    Args:
        only_first: Images that only the first gets right.
        only_second: Images that only the second gets right.
        images: Number of images.

    Returns:
        Lower and upper end, in [-1, 1].

    Raises:
        ValueError: The counts do not fit.

    Example:
        >>> low, high = paired_difference(4, 10, 100)
        >>> round(low, 4), round(high, 4)
        (-0.0172, 0.1348)
    """
    if min(only_first, only_second) < 0 or not 0 < images >= only_first + only_second:
        raise ValueError(
            f"wanted disagreements on some of N > 0 images, found {only_first} and {only_second} "
            f"of {images}"
        )
    first, second = (only_first + 1) / (images + 2), (only_second + 1) / (images + 2)
    z = NormalDist().inv_cdf(0.975)
    reach = z * math.sqrt((first + second - (second - first) ** 2) / (images + 2))
    return max(-1.0, second - first - reach), min(1.0, second - first + reach)
