"""Parsers of option values that sessions and commands share."""

import argparse
import math
import re
from typing import Any

from models.components.image_size import ImageSize, image_size


def positive(text: str) -> int:
    """Parse a whole number of at least 1."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number of at least 1, found '{text}'")
    return int(text)


def whole(text: str) -> int:
    """Parse a whole number of at least 0."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"wanted a whole number of at least 0, found '{text}'")
    return int(text)


def size(text: str) -> ImageSize:
    """Parse the size of images: ``256``, or ``256x640`` as height and width."""
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() and int(side) for side in sides):
        raise argparse.ArgumentTypeError(
            f"wanted a side in pixels, or HEIGHTxWIDTH, such as 256x640, found '{text}'"
        )
    return image_size(int(sides[0]), int(sides[-1]))


def grid(text: str) -> tuple[int, int] | None:
    """Parse ``2x3`` into rows and columns; a single tile is None."""
    match = re.fullmatch(r"([1-9]\d?)[x×]([1-9]\d?)", text.lower(), re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"wanted ROWSxCOLUMNS of tiles, such as 2x3, found '{text}'"
        )
    rows, columns = map(int, match.groups())
    return (rows, columns) if rows * columns > 1 else None


def days(text: str) -> float:
    """Parse a number of days, at least 0."""
    return _number(text, "a number of days of at least 0")


def seconds(text: str) -> float:
    """Parse a number of seconds above 0."""
    return _number(text, "a number of seconds above 0", low=math.ulp(0.0))


def gigabytes(text: str) -> int:
    """Parse a number of GB into bytes."""
    return round(_number(text, "a number of GB of at least 0") * 1e9)


def bits(text: str) -> int:
    """Parse the number of bits that a camera fills."""
    from datasets_lib.images.bit_depth import BITS

    if text not in map(str, BITS):
        wanted = " or ".join(map(str, BITS))
        raise argparse.ArgumentTypeError(f"wanted {wanted} bits, found '{text}'")
    return int(text)


def shots(text: str) -> tuple[int, ...]:
    """Parse ``1,2,4`` into ascending numbers of images, each once."""
    return tuple(sorted({positive(part) for part in text.split(",")}))


def change(text: str) -> tuple[str, Any]:
    """Parse ``FIELD=VALUE``, a change to every recipe."""
    from bench.changes import parse_change

    try:
        return parse_change(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def expression(text: str) -> str:
    """Check a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"wanted a regular expression, such as 'part[0-9]+', found '{text}': {error}"
        ) from None
    return text


def _number(text: str, wanted: str, low: float = 0.0) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number < math.inf:
        raise argparse.ArgumentTypeError(f"wanted {wanted}, found '{text}'")
    return number
