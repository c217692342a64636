"""Ids of cases that users shorten or mistype."""

from collections.abc import Collection, Iterable, Iterator

from bench.near_names import near_names

_MAX_NAMES = 5


def ids_with(part: str, ids: Collection[str]) -> list[str]:
    """Return the id that a text is, or else those that it is a part of, sorted.

    >>> ids_with("rd-parts", ["rd-parts.nuts-s0", "rd-tiles-s0"])
    ['rd-parts.nuts-s0']
    """
    return [part] if part in ids else sorted(name for name in ids if part in name)


def near_ids(name: str, ids: Iterable[str]) -> list[str]:
    """Return at most three ids that a mistyped one may stand for, whole or up to one of its dashes.

    >>> near_ids("rd-prats", ["rd-parts.nuts-s0", "padim-tiles-s0"])
    ['rd-parts.nuts-s0']
    """
    starts: dict[str, dict[str, None]] = {}
    for id_ in sorted(ids):
        for start in _starts(id_):
            starts.setdefault(start, {})[id_] = None
    near = (id_ for start in near_names(name, starts) for id_ in starts[start])
    return list(dict.fromkeys(near))[:3]


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
