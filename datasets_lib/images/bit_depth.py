"""How many bits a camera fills in files of 16 bits per channel.

Values are not scaled in such files: 12 bits fill 0 to 4095 of 65535, and if read as full 16 bits
they become 17 gray levels.
"""

from collections.abc import Sequence
from pathlib import Path

BITS = range(8, 17)
"""Numbers of bits that a camera may fill."""

_SUSPICIOUS = 14

_MAX_FILES = 12


def suspected_bits(brightest: int | None) -> int | None:
    """Return the bits that a camera fills, from the brightest value of its images.

    Returns:
        None for images of 8 bits, and where the values reach far enough to be full 16 bits.

    >>> suspected_bits(4080), suspected_bits(50_000)
    (12, None)
    """
    if not brightest or brightest.bit_length() > _SUSPICIOUS:
        return None
    # Cameras have an even number of bits, whatever the brightest pixel of a dark set is.
    return max(10, (brightest.bit_length() + 1) // 2 * 2)


def bits_of_files(files: Sequence[Path]) -> int | None:
    """Return `suspected_bits` of a dataset from at most a dozen of its images.

    The first file that has 8 bits ends the search, so 8-bit datasets take one file.

    Raises:
        DatasetError: A file cannot be read.
    """
    from datasets_lib.images.decode import brightest_value, read_file

    brightest = 0
    for file in files[:: max(1, len(files) // _MAX_FILES)][:_MAX_FILES]:
        value = brightest_value(read_file(file), file)
        if value is None or suspected_bits(value) is None:
            return None
        brightest = max(brightest, value)
    return suspected_bits(brightest)


def bits_advice(bits: int) -> str:
    """Return what to do about images that fill fewer bits than their files have."""
    return (
        f"16-bit files whose values stay below {2**bits:,} of 65,536, as {bits}-bit cameras store "
        f"them, become {_levels(bits)} gray levels: read them with --bits {bits}"
    )


def _levels(bits: int) -> int:
    return ((1 << bits) + 127) // 257 + 1
