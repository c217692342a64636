"""Messages of the harness with the Python interface's names for the options of a session."""

import re

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


def in_words(text: str) -> str:
    """Return a message with this interface's names; an option with a number becomes an argument.

    >>> in_words("read them with --bits 12, or check --data-dir")
    'read them with bits=12, or check dataset_dir'
    """
    for option, name in _NAMES.items():
        text = re.sub(rf"{option} (\d+)\b", rf"{name}=\1", text).replace(option, name)
    return text
