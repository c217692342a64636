"""How far apart two classifiers' shares of right images are, on the same images."""

import math
from statistics import NormalDist


def paired_difference(
    only_first: int, only_second: int, images: int, confidence: float = 0.95
) -> tuple[float, float]:
    """Adjusted Wald interval of second minus first (Bonett & Price 2012).

    A plain Wald interval with one image added to either kind of disagreement, so that few
    disagreements, or none, still leave a width.

    Args:
        only_first: Images that only the first gets right.
        only_second: Images that only the second gets right.
        images: Images in all.
        confidence: Nominal coverage.

    Returns:
        Lower and upper end, in [-1, 1].

    Raises:
        ValueError: The counts do not fit.
    """
    if min(only_first, only_second) < 0 or not 0 < images >= only_first + only_second:
        raise ValueError(
            f"wanted disagreements on some of N > 0 images, found {only_first} and {only_second} "
            f"of {images}"
        )
    first, second = (only_first + 1) / (images + 2), (only_second + 1) / (images + 2)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    reach = z * math.sqrt((first + second - (second - first) ** 2) / (images + 2))
    return max(-1.0, second - first - reach), min(1.0, second - first + reach)
