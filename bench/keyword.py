"""Choosing cases by a ``-k`` expression, as pytest does, outside a session."""

from collections.abc import Iterable

from _pytest.mark.expression import Expression

from bench.case import Case
from bench.selection import keywords


def chosen(cases: Iterable[Case], expression: str) -> list[Case]:
    """The cases an expression selects: each word matches a part of the id or of a keyword.

    Raises:
        ValueError: The expression cannot be understood.
    """
    try:
        compiled = Expression.compile(expression)
    except SyntaxError as error:
        raise ValueError(
            f"-k {expression!r} cannot be understood ({error.msg}). Wanted words joined by and, "
            "or, not, such as 'rd_resnet18 and surface'."
        ) from None

    def matches(case: Case) -> bool:
        texts = [text.lower() for text in (case.id, *keywords(case))]

        def occurs(word: str, /, **_: object) -> bool:
            return any(word.lower() in text for text in texts)

        return compiled.evaluate(occurs)

    return [case for case in cases if matches(case)]
