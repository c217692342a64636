"""`surface`: four procedural industrial surfaces with defects; needs no download.

This module is what a catalog reads; drawing lives in the others and is imported when it runs.
"""

from collections.abc import Mapping
from types import MappingProxyType

VERSION = "1"
"""Changes whenever any pixel of any image would."""

SIZE = 256
"""Height and width of every image in pixels."""

CATEGORIES: tuple[str, ...] = ("woven", "brushed", "grained", "printed")

KINDS: tuple[str, ...] = ("scratch", "stain", "crack", "missing_part", "misplacement")

COUNTS: Mapping[str, int] = MappingProxyType(
    {"train/good": 220, "test/good": 32, **{f"test/{kind}": 16 for kind in KINDS}}
)
"""Images by folder, the same in every category."""
