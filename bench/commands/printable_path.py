"""Paths as they are printed: one line each, whatever characters a name is made of."""

from pathlib import Path


def printable_path(path: Path | str) -> str:
    r"""The path with what cannot be printed escaped, as ``\n`` and bytes that are no text are."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in str(path)
    )
