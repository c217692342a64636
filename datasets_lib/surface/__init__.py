"""`surface`: four procedural industrial surfaces with defects; needs no download.

The catalog reads this module only; the drawing modules are imported when they run.
"""

from collections.abc import Mapping
from types import MappingProxyType

VERSION = "1"
"""Version of the pixels; changes with any pixel of any image."""

SIZE = 256
"""Height and width of every image in pixels."""

CATEGORIES: tuple[str, ...] = ("woven", "brushed", "grained", "printed")

KINDS: tuple[str, ...] = ("scratch", "stain", "crack", "missing_part", "misplacement")

COUNTS: Mapping[str, int] = MappingProxyType(
    {"train/good": 220, "test/good": 32, **{f"test/{kind}": 16 for kind in KINDS}}
)
"""Number of images by folder, equal in every category."""
