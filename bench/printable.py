"""Text that stays on one line and shows every character."""


def printable(text: object) -> str:
    r"""Return text whose invisible characters are spelled out, so that none acts on its neighbors.

    Marks of writing direction, line ends, NUL and lone surrogates are among them.

    Args:
        text: Text, or a path.

    Example:
        >>> print(printable("a\u202eb\n"))
        a\u202eb\n
    """
    line = str(text)
    if line.isprintable():
        return line
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
