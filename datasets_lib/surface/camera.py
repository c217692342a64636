"""Camera model: light, color, focus, dust and sensor noise."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from datasets_lib.surface import SIZE
from datasets_lib.surface.fields import Field, grid, smooth


class Camera:
    """A camera at one exposure; its pictures share light and noise."""

    def __init__(self, rng: np.random.Generator) -> None:
        rows, columns = grid()
        slope = rng.normal(0, 0.07, 2) / (SIZE / 2)
        light = 1 + slope[0] * rows + slope[1] * columns + 0.025 * smooth(rng, 2)
        exposure, warmth, green = np.exp(rng.normal(0, (0.08, 0.025, 0.007)))
        balance = np.array([warmth, green, 1 / warmth])
        self.gain: Field = light[..., None] * exposure * balance
        self.blur = float(rng.uniform(0.45, 0.95))
        noise = rng.standard_normal((SIZE, SIZE, 3)) * rng.uniform(0.007, 0.014)
        self.noise: Field = noise
        self.dust = _dust(rng)

    def take(self, scene: Field) -> NDArray[np.uint8]:
        """Take a picture of a surface, uint8 ``(SIZE, SIZE, 3)``, from reflectances in [0, 1]."""
        picture = scene * (1 + self.dust[..., None])
        for axis in (0, 1):
            picture = gaussian_filter1d(picture, self.blur, axis=axis, mode="nearest", radius=2)
        picture = picture * self.gain + self.noise
        return np.clip(np.rint(picture * 255), 0, 255).astype(np.uint8)


def _dust(rng: np.random.Generator) -> Field:
    """Draw the relative change from a few harmless dark or light specks of one or two pixels."""
    dust = np.zeros((SIZE, SIZE))
    for row, column in rng.integers(0, SIZE - 1, (rng.poisson(3), 2)):
        height, width = rng.integers(1, 3, 2)
        dust[row : row + height, column : column + width] = rng.choice([-0.3, 0.25])
    return dust
