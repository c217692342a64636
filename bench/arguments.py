"""Parsers of option values that sessions and commands share."""

import argparse
import math
import re


def positive(text: str) -> int:
    """Parse a whole number from 1."""
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number from 1, found '{text}'")
    return int(text)


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
