"""How sure a share of right images is, for want of test images."""

import math
from statistics import NormalDist


def wilson_interval(right: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a binomial share (Wilson 1927).

    Stays inside [0, 1] and has a width at shares of 0 and 1 as well.

    Args:
        right: Images that are right.
        images: Images in all.
        confidence: Nominal coverage.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: There are no images, or more are right than there are.
    """
    if not 0 <= right <= images or not images:
        raise ValueError(f"wanted 0 to N of N > 0 images to be right, found {right} of {images}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, weight = right / images, z * z / images
    center = share + weight / 2
    reach = z * math.sqrt(share * (1 - share) / images + weight / images / 4)
    low, high = (center - reach) / (1 + weight), (center + reach) / (1 + weight)
    # Rounding must not move the ends of nothing right and of everything right.
    return (low if right else 0.0), (high if right < images else 1.0)
