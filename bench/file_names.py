"""Names of files that are made of other files' names, cut to what file systems take."""

import hashlib

_MAX_BYTES = 255
_DIGITS = 8


def truncated_stem(stem: str, others: int) -> str:
    """Return the stem of a file name, cut if it is too long; a hash keeps cut ones apart.

    Args:
        stem: The stem.
        others: Number of bytes that the rest of the name takes.

    Example:
        >>> truncated_stem("part", 4), len(truncated_stem(100 * "가", 4).encode()) <= 251
        ('part', True)
    """
    data = stem.encode("utf-8", "surrogateescape")
    room = _MAX_BYTES - others
    if len(data) <= room:
        return stem
    digest = hashlib.sha256(data).hexdigest()[:_DIGITS]
    return f"{data[: room - _DIGITS - 1].decode('utf-8', 'ignore')}-{digest}"
