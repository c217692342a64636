"""Notes collected at the end of a document: numbered footnotes, and what its columns mean."""

from collections.abc import Iterable

from bench.aggregate.language import say


class Footnotes:
    """The footnotes and terms of one document, in the order in which they first apply."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._terms: dict[str, str] = {}

    def mark(self, *texts: str) -> str:
        """Return the marks of some notes, ignoring empty texts, to append to what they apply to.

        A note is one line: a reason, which may be a library's message, can have several.
        """
        lines = (" ".join(text.split()) for text in texts)
        return "".join(
            f"[^{self._numbers.setdefault(line, len(self._numbers) + 1)}]"
            for line in dict.fromkeys(filter(None, lines))
        )

    def term(self, name: str, meaning: str) -> str:
        """Return a name that is explained at the end, with a mark if it has another meaning there.

        Args:
            name: Heading of a column, or another term to explain.
            meaning: What it means; empty if the name is self-explanatory.
        """
        if not meaning or self._terms.setdefault(name, meaning) == meaning:
            return name
        return name + self.mark(meaning)

    def terms(self) -> str:
        """Return the terms as a list, grouped by meaning; empty if there are none."""
        names: dict[str, list[str]] = {}
        for name, meaning in self._terms.items():
            names.setdefault(meaning, []).append(name)
        return "\n".join(f"- **{', '.join(own)}**: {text}" for text, own in names.items())

    def definitions(self) -> list[str]:
        """Return terms and notes with their headings as Markdown blocks."""
        parts = [f"## {say('What the columns mean')}", self.terms()] if self._terms else []
        if self._numbers:
            lines = [f"[^{number}]: {text}" for text, number in self._numbers.items()]
            parts += [f"## {say('Notes')}", "\n".join(lines)]
        return parts

    def only(self, block: str) -> str:
        """Return the definitions of the notes that a block of text refers to."""
        own: Iterable[tuple[str, int]] = self._numbers.items()
        return "\n".join(f"[^{n}]: {text}" for text, n in own if f"[^{n}]" in block)
