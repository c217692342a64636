"""Modes of cases: few-shot, one model for all categories, supervised; each has its own tables."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from bench.aggregate.language import say
from bench.record import Record, of_category
from models.catalog import MODELS


def mode_words(multi_class: bool, shots: int, supervised: bool) -> str:
    """Return a mode in words; empty for one model per category, trained on all normal images.

    >>> mode_words(True, 4, False), mode_words(False, 0, True), mode_words(False, 0, False)
    ('one model for all categories, 4 shots', 'trained on labeled defects', '')
    """
    words = [say("one model for all categories")] if multi_class else []
    words += [say("{shots} shot" if shots == 1 else "{shots} shots", shots=shots)] if shots else []
    words += [say("trained on labeled defects")] if supervised else []
    return ", ".join(words)


def is_usual(record: Record) -> bool:
    """Return whether a run trained one model per category, on all of its normal images."""
    several = record.categories or record.case.shots is not None
    return not several and not is_supervised(record)


def is_supervised(record: Record) -> bool:
    """Return whether a record's model trained on labeled defects, which its test then lacks."""
    entry = MODELS.get(record.case.model)
    return entry is not None and entry.supervised


def by_category(records: Iterable[Record]) -> Iterator[Record]:
    """Yield records, those of a model for all categories once for each of its categories."""
    for record in records:
        if not record.categories:
            yield record
            continue
        for name in dict.fromkeys(c for own in record.categories.values() for c in own):
            yield _of_category(record, name)


def _of_category(record: Record, category: str) -> Record:
    """Return a category's part of a record; it still counts as one of a model for all."""

    def parts(of_heads: dict[str, Any]) -> dict[str, Any]:
        return {head: of_category(own, category) for head, own in of_heads.items()}

    own = {head: {category: values[category]} for head, values in record.categories.items()}
    return replace(
        record,
        case=replace(record.case, category=category),
        metrics={head: values[category] for head, values in own.items()},
        categories=own,
        reasons=_of_numbers(record.reasons, category),
        notes=_of_numbers(record.notes, category),
        intervals=parts(record.intervals),
        outcomes=parts(record.outcomes),
        kinds=parts(record.kinds),
        sizes=parts(record.sizes),
        thresholds=parts(record.thresholds),
    )


def _of_numbers(texts: dict[str, str], category: str) -> dict[str, str]:
    """Return texts about the run and a category's numbers, the latter without its name."""
    named = {}
    for key, text in texts.items():
        head, _, rest = key.partition(".")
        part, _, name = rest.partition(".")
        if not rest:
            named[key] = text
        elif name.startswith(f"{category}."):
            own = name.removeprefix(f"{category}.")
            named[f"{head}.{own}" if part == "category" else f"{head}.{part}.{own}"] = text
    return named
