"""The language of tables: English sentences are the keys, a catalog holds each other language's.

Text that has no translation, such as the reasons that records give, stays English.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from bench.aggregate.korean import KOREAN

LANGUAGES: Mapping[str, Mapping[str, str]] = {"en": {}, "ko": KOREAN}

_language: ContextVar[str] = ContextVar("language", default="en")


@contextmanager
def language(name: str) -> Iterator[None]:
    """Write everything within the block in a language of `LANGUAGES`."""
    token = _language.set(name)
    try:
        yield
    finally:
        _language.reset(token)


def current_language() -> str:
    """Return the language that tables are written in."""
    return _language.get()


def say(text: str, /, **values: Any) -> str:
    """Return a text in the current language, with its values filled in.

    Args:
        text: English, with ``{names}`` of the values.
        values: What to fill in.

    Example:
        >>> say("{count} more below", count=3)
        '3 more below'
        >>> with language("ko"):
        ...     say("Rank")
        '순위'
    """
    translated = LANGUAGES[_language.get()].get(text, text)
    return translated.format(**values) if values else translated
