"""What ``python -m bench predict`` prints and writes, read back."""

import json

import numpy as np
from PIL import Image


def pixels_of(path, size=None):
    with Image.open(path) as image:
        return np.array(image.resize(size, Image.Resampling.BILINEAR) if size else image)


def lines_of(out):
    return [json.loads(line) for line in out.splitlines()]
