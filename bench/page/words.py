"""The page's words in English and Korean; names of models, metrics and units stay as they are."""

import json
from functools import cache
from pathlib import Path

from bench.aggregate.language import current_language, say


def t(text: str, /, **values: object) -> str:
    """Return a text of the page in the current language, with its values filled in.

    The page's own translations come before those that it shares with the tables in other formats.

    Args:
        text: English, with ``{names}`` of the values.
        values: What to fill in.

    Example:
        >>> from bench.aggregate.language import language
        >>> with language("ko"):
        ...     t("{shown} of {count} rows", shown=3, count=5)
        '5행 중 3행'
    """
    translated = korean().get(text) if current_language() == "ko" else None
    if translated is None:
        return say(text, **values)
    return translated.format(**values) if values else translated


@cache
def korean() -> dict[str, str]:
    """Return the Korean texts by their English ones."""
    file = Path(__file__).parent / "korean.json"
    texts: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return texts
