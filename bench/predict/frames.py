"""Image files that arrive one after another through a pipe, such as ``ffmpeg -f image2pipe``."""

from collections.abc import Iterator
from typing import BinaryIO

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_BMP = b"BM"
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_STANDALONE = {0x01, *range(0xD0, 0xD9)}  # JPEG's markers without a length

_READ = 1 << 16
_MAX_FRAME = 1 << 28


class _Incomplete(Exception):
    """More bytes are needed."""


def is_image_data(start: bytes) -> bool:
    r"""Return whether the first bytes are those of a PNG, JPEG or BMP file.

    >>> is_image_data(b"\xff\xd8\xff\xe0"), is_image_data(b"a/b.png")
    (True, False)
    """
    # A path may begin with BM; the fourth byte of a BMP's size is zero below 16 MB, as text is not.
    return start.startswith((_PNG, _JPEG)) or (start.startswith(_BMP) and 0 in start[2:8])


def split_frames(start: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the contents of image files that follow each other without a gap.

    A damaged file is yielded up to where the next one begins; at most one file is in memory.

    Args:
        start: Bytes that were read already.
        stream: The rest.
    """
    buffer = bytearray(start)
    read = getattr(stream, "read1", stream.read)
    ended = False
    while buffer or not ended:
        try:
            end = _end_of_frame(buffer)
        except _Incomplete:
            if not ended and len(buffer) < _MAX_FRAME:
                data = read(_READ)
                ended = not data
                buffer += data
                continue
            end = _start_after(buffer)
        if end:
            yield bytes(buffer[:end])
        del buffer[:end]
        if ended and not buffer:
            return


def _end_of_frame(buffer: bytearray) -> int:
    """Return the length of the first file.

    Raises:
        _Incomplete: Its end is not in the buffer yet.
    """
    if buffer.startswith(_PNG):
        return _end_of_png(buffer)
    if buffer.startswith(_JPEG):
        return _end_of_jpeg(buffer)
    if buffer.startswith(_BMP):
        size = int.from_bytes(_part(buffer, 2, 4), "little")
        _part(buffer, 0, size)
        return max(size, len(_BMP))
    return _next_start(buffer)


def _end_of_png(buffer: bytearray) -> int:
    offset = len(_PNG)
    while True:
        length = int.from_bytes(_part(buffer, offset, 4), "big")
        kind = bytes(_part(buffer, offset + 4, 4))
        if not kind.isalpha() or length > _MAX_FRAME:
            return _next_start(buffer)
        offset += 12 + length
        if len(buffer) < offset:
            raise _Incomplete
        if kind == b"IEND":
            return offset


def _end_of_jpeg(buffer: bytearray) -> int:
    offset = 2
    while True:
        marker = _part(buffer, offset, 2)
        if marker[0] != 0xFF:
            return _next_start(buffer)
        if marker[1] == _END_OF_IMAGE:
            return offset + 2
        if marker[1] == 0xFF:  # fill byte
            offset += 1
        elif marker[1] in _STANDALONE:
            offset += 2
        else:
            length = int.from_bytes(_part(buffer, offset + 2, 2), "big")
            offset += 2 + length
            if marker[1] == _START_OF_SCAN:
                offset = _end_of_scan(buffer, offset)


def _end_of_scan(buffer: bytearray, offset: int) -> int:
    """Return the offset of the marker after a JPEG's compressed pixels."""
    while True:
        offset = buffer.find(b"\xff", offset)
        if offset < 0 or offset + 1 >= len(buffer):
            raise _Incomplete
        if buffer[offset + 1] and not 0xD0 <= buffer[offset + 1] <= 0xD7:
            return offset
        offset += 2


def _next_start(buffer: bytearray) -> int:
    """Return the offset of the next PNG or JPEG after the first file, which is damaged."""
    end = _start_after(buffer)
    if end == len(buffer):
        raise _Incomplete
    return end


def _start_after(buffer: bytearray) -> int:
    offsets = [at for magic in (_PNG, _JPEG) if (at := buffer.find(magic, 1)) >= 0]
    return min(offsets, default=len(buffer))


def _part(buffer: bytearray, offset: int, count: int) -> bytearray:
    if len(buffer) < offset + count:
        raise _Incomplete
    return buffer[offset : offset + count]
