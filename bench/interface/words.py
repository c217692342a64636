"""Messages of the harness with the Python interface's names for the options of a session."""

import re

from bench.protocol import PROFILES
from datasets_lib.images.geometry import FITS

_NAMES = {
    "--weights-dir": "backbone_dir",
    "--data-dir": "dataset_dir",
    "--results-dir": "output_dir",
    "--cache-dir": "cache_dir",
    "--image-size": "img_size",
    "--multi-class": "multi_class",
    "--overlap": "overlap",
    "--tiles": "tiles",
    "--fit": "fit",
    "--shots": "shots",
    "--bits": "bits",
    "--split-by": "split_by",
    "--max-megapixels": "max_megapixels",
    "--profile": "profile",
}

_VALUES = {"profile": "|".join(PROFILES), "fit": "|".join(FITS)}


def in_words(text: str) -> str:
    """Return a message with this interface's names; options with their values become arguments.

    >>> in_words("read them with --bits 12, or check --data-dir")
    'read them with bits=12, or check dataset_dir'
    >>> in_words("use --tiles 2 3 or --fit pad, or choose --profile standard")
    "use tiles=(2, 3) or fit='pad', or choose profile='standard'"
    """
    for option, name in _NAMES.items():
        text = re.sub(rf"{option} (\d+) (\d+)\b", rf"{name}=(\1, \2)", text)
        text = re.sub(rf"{option} (\d+)\b", rf"{name}=\1", text)
        if values := _VALUES.get(name):
            text = re.sub(rf"{option} ({values})\b", rf"{name}='\1'", text)
        text = text.replace(option, name)
    return text
