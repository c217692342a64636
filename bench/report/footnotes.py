"""Numbered footnotes: said once at the end of a document, named where they apply."""

from collections.abc import Iterable

from bench.aggregate.language import say


class Footnotes:
    """The footnotes of one document, numbered in the order in which they first apply."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def mark(self, *texts: str) -> str:
        """Return the marks of some notes, empty texts left out, to follow what they apply to."""
        return "".join(
            f"[^{self._numbers.setdefault(text, len(self._numbers) + 1)}]"
            for text in dict.fromkeys(filter(None, texts))
        )

    def definitions(self, heading: str = "## {notes}") -> list[str]:
        """Return the heading and the notes as blocks of Markdown; nothing without notes."""
        if not self._numbers:
            return []
        lines = [f"[^{number}]: {text}" for text, number in self._numbers.items()]
        opening = [heading.format(notes=say("Notes"))] if heading else []
        return [*opening, "\n".join(lines)]

    def only(self, block: str) -> str:
        """Return the definitions of the notes that a block of text names."""
        own: Iterable[tuple[str, int]] = self._numbers.items()
        return "\n".join(f"[^{n}]: {text}" for text, n in own if f"[^{n}]" in block)
