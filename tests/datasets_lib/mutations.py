"""Ways in which the bytes of a file may be damaged, as Hypothesis strategies.

Each takes the undamaged bytes; `mutated` is any of them.
"""

from collections.abc import Sequence

from hypothesis import strategies as st

HEADERS = (
    b"PK\3\4",
    b"PK\5\6",
    b"\x1f\x8b\x08",
    b"\xfd7zXZ\0",
    b"BZh9",
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff\xe0",
    b"II*\0",
    b"<!DOCTYPE html>",
    b"\xef\xbb\xbf",
    b"\0\0\0\0",
)
"""First bytes of files of other kinds."""


def truncated(content: bytes) -> st.SearchStrategy[bytes]:
    """Cut off anywhere, the end likelier than elsewhere."""
    lengths = st.integers(0, len(content) - 1)
    near_end = st.integers(max(0, len(content) - 40), len(content) - 1)
    return st.one_of(lengths, near_end).map(lambda length: content[:length])


def flipped(content: bytes, where: Sequence[int] | None = None) -> st.SearchStrategy[bytes]:
    """One to four bytes changed, at given places or anywhere."""
    places = st.sampled_from(where) if where else st.integers(0, len(content) - 1)
    changes = st.lists(st.tuples(places, st.integers(1, 255)), min_size=1, max_size=4)

    def flip(pairs: list[tuple[int, int]]) -> bytes:
        damaged = bytearray(content)
        for place, change in pairs:
            damaged[place] ^= change
        return bytes(damaged)

    return changes.map(flip)


def swapped(content: bytes) -> st.SearchStrategy[bytes]:
    """Two pieces exchanged."""
    cuts = st.lists(st.integers(0, len(content)), min_size=4, max_size=4).map(sorted)
    return cuts.map(
        lambda at: (
            content[: at[0]]
            + content[at[2] : at[3]]
            + content[at[1] : at[2]]
            + content[at[0] : at[1]]
            + content[at[3] :]
        )
    )


def emptied(content: bytes) -> st.SearchStrategy[bytes]:
    """Nothing left, or only white space or zeros."""
    return st.sampled_from([b"", b"\n", b" " * len(content), bytes(len(content))])


def made_non_utf8(content: bytes) -> st.SearchStrategy[bytes]:
    """Bytes inserted that no UTF-8 text has."""
    bad = st.sampled_from([b"\xff", b"\xfe\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\x80"])
    places = st.integers(0, len(content))
    return st.tuples(places, bad).map(lambda put: content[: put[0]] + put[1] + content[put[0] :])


def with_wrong_header(content: bytes) -> st.SearchStrategy[bytes]:
    """The first bytes of a file of another kind."""
    others = [header for header in HEADERS if not content.startswith(header)]
    return st.sampled_from(others).map(lambda header: header + content[len(header) :])


@st.composite
def edited(draw, content: bytes, places: st.SearchStrategy[int], longest: int) -> bytes:
    """One edit: cut off at a place, a byte changed, up to ``longest`` lost, or some inserted."""
    damaged, place = bytearray(content), draw(places)
    match draw(st.sampled_from(["cut", "flip", "drop", "insert"])):
        case "cut":
            del damaged[place:]
        case "flip":
            damaged[place] ^= draw(st.integers(1, 255))
        case "drop":
            del damaged[place : place + draw(st.integers(1, longest))]
        case _:
            damaged[place:place] = draw(st.binary(min_size=1, max_size=9))
    return bytes(damaged)


MUTATIONS = (truncated, flipped, swapped, emptied, made_non_utf8, with_wrong_header)


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """Damaged in any of these ways."""
    return st.one_of([mutation(content) for mutation in MUTATIONS])
