"""The names that a mistyped one may have meant."""

import difflib
from collections.abc import Iterable, Sequence


def near_names(name: str, offered: Iterable[str]) -> list[str]:
    """Return at most three offered names that are close to a mistyped one, the closest first.

    >>> near_names("rd_resnt18", ["padim", "rd_resnet18", "rd_resnet50"])
    ['rd_resnet18', 'rd_resnet50']
    """
    return difflib.get_close_matches(name.lower(), sorted(offered), n=3, cutoff=0.6)


def did_you_mean(name: str, offered: Iterable[str], start: str = "did you mean") -> str:
    """Return a question about the offered names close to a mistyped one; empty if none is.

    >>> did_you_mean("rd_resnt18", ["padim", "rd_resnet18", "rd_resnet50"], "; did you mean")
    '; did you mean rd_resnet18 or rd_resnet50?'
    """
    return question(start, near_names(name, offered))


def question(start: str, names: Sequence[str]) -> str:
    """Return a question which of some names was meant; empty if there are none.

    >>> question("Did you mean", ["padim", "dfm"]), question("Did you mean", [])
    ('Did you mean padim or dfm?', '')
    """
    return f"{start} {' or '.join(names)}?" if names else ""
