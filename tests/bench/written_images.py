"""Image files written for tests."""

import numpy as np
from PIL import Image


def save_image(path, pixels):
    """Write numbers from 0 to 255 as an image, in folders made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def write_camera(folder):
    """Write ten normal and ten abnormal shots of two parts, by a 12-bit camera in 16-bit files."""
    rng = np.random.default_rng(0)
    for kind in ("normal", "abnormal"):
        (folder / kind).mkdir(parents=True)
        for n in range(10):
            pixels = rng.integers(0, 4096, (64, 64), dtype=np.uint16)
            pixels[0, 0] = 4095
            Image.fromarray(pixels).save(folder / kind / f"part{n % 2}_{n}.png")
