"""Parsers of option values that sessions and commands share."""

import argparse
import math
import re

from models.components.image_size import ImageSize, image_size


def positive(text: str) -> int:
    """Parse a whole number from 1."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number from 1, found '{text}'")
    return int(text)


def whole(text: str) -> int:
    """Parse a whole number from 0."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"wanted a whole number from 0, found '{text}'")
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
    """Parse ``2x3`` into rows and columns; one tile alone is None."""
    match = re.fullmatch(r"([1-9]\d?)[x×]([1-9]\d?)", text.lower(), re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"wanted ROWSxCOLUMNS of tiles, such as 2x3, found '{text}'"
        )
    rows, columns = map(int, match.groups())
    return (rows, columns) if rows * columns > 1 else None


def days(text: str) -> float:
    """Parse a number of days from 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"wanted a number of days from 0, found '{text}'")
    return number


def expression(text: str) -> str:
    """Check a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"wanted a regular expression, such as 'part[0-9]+', found '{text}': {error}"
        ) from None
    return text
