"""Ids of cases that users shorten or mistype."""

from collections.abc import Collection, Iterable, Iterator

from bench.near_names import near_names, question

_MAX_NAMES = 5


def ids_with(part: str, ids: Collection[str]) -> list[str]:
    """Return the id that a text is, or else those that it is a part of, sorted.

    >>> ids_with("rd-parts", ["rd-parts.nuts-s0", "rd-tiles-s0"])
    ['rd-parts.nuts-s0']
    """
    return [part] if part in ids else sorted(name for name in ids if part in name)


def did_you_mean_id(name: str, ids: Iterable[str], start: str = "did you mean") -> str:
    """Return a question about at most three ids that a mistyped one may stand for; empty if none.

    It may stand for a whole id, or for one up to one of its dashes.

    >>> did_you_mean_id("rd-prats", ["rd-parts.nuts-s0", "padim-tiles-s0"])
    'did you mean rd-parts.nuts-s0?'
    """
    starts: dict[str, dict[str, None]] = {}
    for id_ in sorted(ids):
        for part in _starts(id_):
            starts.setdefault(part, {})[id_] = None
    near = (id_ for part in near_names(name, starts) for id_ in starts[part])
    return question(start, list(dict.fromkeys(near))[:3])


def listed(ids: Collection[str]) -> str:
    """Return ids separated by commas: the first five, and a count of the others."""
    more = f" and {len(ids) - _MAX_NAMES} more" if len(ids) > _MAX_NAMES else ""
    return ", ".join(sorted(ids)[:_MAX_NAMES]) + more


def _starts(id_: str) -> Iterator[str]:
    """Yield what an id begins with: its model, with its data, and so on; data also by dataset."""
    words = id_.split("-")
    for count in range(1, len(words) + 1):
        yield "-".join(words[:count])
    if len(words) > 1:
        yield f"{words[0]}-{words[1].partition('.')[0]}"
