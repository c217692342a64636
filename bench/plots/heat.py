"""How plots and pictures show an anomaly map: as heat, in colors, over its image."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

HEAT = "inferno"


def shown_heat(anomaly_map: "np.ndarray", low: float, middle: float) -> "np.ndarray":
    """Return a map as colors show it, in [0, 1]: the square root of its place on the scale.

    Args:
        anomaly_map: (H, W) raw values.
        low: Value that is 0.
        middle: Value half way to the one that is 1.
    """
    import numpy as np

    shown: np.ndarray = np.sqrt(np.clip((anomaly_map - low) / (2 * (middle - low)), 0, 1))
    return shown


def colors_of(heat: "np.ndarray") -> "np.ndarray":
    """Return the colors of a heat in [0, 1], uint8 with a last axis of RGB."""
    import numpy as np

    colors: np.ndarray = _palette()[(255 * heat).round().astype(np.uint8)]
    return colors


def opacity_of(heat: "np.ndarray") -> "np.ndarray":
    """Return how opaque colors lie over an image, so that it stays visible.

    They are transparent below a heat of 0.375 and at most 75 % opaque.
    """
    import numpy as np

    return np.clip(1.6 * heat - 0.6, 0, 0.75)


def overlaid(image: "np.ndarray", heat: "np.ndarray") -> "np.ndarray":
    """Return an image, uint8 (H, W, 3), under the colors of its heat (H, W)."""
    import numpy as np

    opacity = opacity_of(heat)[..., None]
    blended: np.ndarray = image * (1 - opacity) + colors_of(heat) * opacity
    return blended.round().astype(np.uint8)


@cache
def _palette() -> "np.ndarray":
    """Return the 256 colors of the scale, uint8 (256, 3)."""
    import numpy as np
    from matplotlib import colormaps

    return (255 * colormaps[HEAT](np.arange(256))[:, :3]).round().astype(np.uint8)
