"""Image files written byte by byte, in formats that Pillow cannot write."""

import struct
import zlib

from datasets_lib.images.decode import read_file, resize_image, resize_mask, to_mask, to_rgb

PNG_COLOR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}


def png16(pixels):
    """A 16-bit PNG of (H, W, C); 1 to 4 channels: gray, gray + alpha, RGB, RGBA."""
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, PNG_COLOR_TYPE[channels], 0, 0, 0)
    # Every row names its filter; Sub (1) and Up (2) reach across pixels of two-byte channels.
    raw, above = b"", bytes(width * channels * 2)
    for number, row in enumerate(pixels):
        plain = row.astype(">u2").tobytes()
        left = bytes(channels * 2) + plain[: -channels * 2]
        before = (bytes(len(plain)), left, above)[number % 3]
        raw += bytes([number % 3])
        raw += bytes((byte - other) % 256 for byte, other in zip(plain, before, strict=True))
        above = plain
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(raw)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind, data):
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def tiff16(pixels, order="<", deflate=False, first=1, planes=1):
    """A 16-bit TIFF of (H, W, C) in one strip; 1, 3 or 4 channels, either byte order.

    Gray begins at white if first is 0. Planes of 2 says that channels lie apart.
    """
    height, width, channels = pixels.shape
    strip = pixels.astype(f"{order}u2").tobytes()
    strip = zlib.compress(strip) if deflate else strip
    strip += bytes(len(strip) % 2)
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, channels, 16 if channels == 1 else 8 + len(strip)),
        (259, 3, 1, 8 if deflate else 1),
        (262, 3, 1, 2 if channels > 1 else first),
        (273, 4, 1, 8),
        (277, 3, 1, channels),
        (278, 4, 1, height),
        (279, 4, 1, len(strip)),
    ]
    if planes != 1:
        tags.append((284, 3, 1, planes))
    if channels == 4:
        tags.append((338, 3, 1, 2))
    directory = struct.pack(f"{order}H", len(tags))
    for tag, kind, count, value in tags:
        short = kind == 3 and count == 1
        field = struct.pack(f"{order}HH", value, 0) if short else struct.pack(f"{order}I", value)
        directory += struct.pack(f"{order}HHI", tag, kind, count) + field
    start = struct.pack(f"{order}I", 8 + len(strip) + len(bits))
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + start + strip + bits + directory + bytes(4)


def decode_image(path, size):
    """An image file as uint8 RGB (size, size, 3), as the cache decodes it."""
    return resize_image(to_rgb(read_file(path), path), size)


def decode_mask(path, size, image_size):
    """A mask file as bool (size, size), as the cache decodes it."""
    return resize_mask(to_mask(read_file(path), path, image_size), size)
