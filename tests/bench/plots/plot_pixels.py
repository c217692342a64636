"""Read back plots and find colors in them."""

import numpy as np
from PIL import Image


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def near(picture, color, within=40):
    """Return where a picture has nearly the given color."""
    target = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    return np.abs(picture - target).sum(axis=2) < within
