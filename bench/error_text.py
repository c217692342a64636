"""What an error says, in one line."""


def first_line(error: Exception) -> str:
    r"""Return the first line of an error's message, or its type if it has none.

    >>> first_line(ValueError("too large\nat line 3"))
    'too large'
    >>> first_line(MemoryError())
    'MemoryError'
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0]
