"""Text for one line: it shows every character and, where it is too long, is cut in the middle."""


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


def elide_middle(text: str, length: int) -> str:
    """Return text of at most a number of characters, cut in the middle; at least three are left.

    Example:
        >>> elide_middle("padim_resnet18-mvtec.bottle", 11)
        'padim…ottle'
    """
    if len(text) <= length:
        return text
    end = max(1, (length - 1) // 2)
    return f"{text[: max(1, length - 1 - end)]}…{text[-end:]}"
