"""The page's words in English and Korean; names of models, metrics and units stay as they are."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

from bench.aggregate.language import LANGUAGES

Words = Callable[..., str]
"""Takes an English text and the values of its fields; returns it in the page's language."""


def words(lang: str) -> Words:
    """Return the function that translates English texts into a language.

    >>> words("ko")("{shown} of {count} rows", shown=3, count=5)
    '5행 중 3행'
    """
    # The page's own words, and those that it shares with the tables in other formats.
    translations = {**LANGUAGES[lang], **(korean() if lang == "ko" else {})}

    def translate(text: str, /, **values: object) -> str:
        template = translations.get(text, text)
        return template.format(**values) if values else template

    return translate


@cache
def korean() -> dict[str, str]:
    """Return the Korean texts by their English ones."""
    file = Path(__file__).parent / "korean.json"
    texts: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return texts
