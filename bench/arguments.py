"""Parsers of option values that sessions and commands share."""

import argparse
import re


def positive(text: str) -> int:
    """Parse a whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"wanted a whole number from 1, found '{text}'")
    return int(text)


def expression(text: str) -> str:
    """Check a regular expression."""
    try:
        re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(
            f"wanted a regular expression, such as 'part[0-9]+', found '{text}': {error}"
        ) from None
    return text
