"""The members of an archive of any kind, told from its first bytes."""

import re
from collections.abc import Iterator
from typing import BinaryIO

from datasets_lib.download.archive_member import Budget, Damaged, Member
from datasets_lib.download.tar_archive import tar_members
from datasets_lib.download.zip_archive import zip_members

_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\xfd7zXZ\0": "xz", b"BZh": "bzip2"}
_ZIP = (b"PK\3\4", b"PK\5\6")
_HTML = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I | re.S)


def is_html(beginning: bytes) -> bool:
    """Whether a file that begins like this is a web page."""
    return _HTML.match(beginning) is not None


def members(raw: BinaryIO, budget: Budget) -> Iterator[Member]:
    """The members of a zip or tar archive, each to be read before the next is asked for.

    Args:
        raw: The archive, at its beginning.
        budget: Of what it may unpack to.

    Raises:
        Unsafe: It holds what is never unpacked.
        Damaged: It is broken, or no archive.
    """
    beginning = raw.read(1024)
    raw.seek(0)
    if not beginning:
        raise Damaged("it is empty")
    if is_html(beginning):
        raise Damaged("it is an HTML page, such as an error or a login, in place of an archive")
    if beginning.startswith(_ZIP):
        return zip_members(raw, budget)
    for magic, compression in _COMPRESSIONS.items():
        if beginning.startswith(magic):
            return tar_members(raw, compression, budget)
    if beginning[257:262] == b"ustar":
        return tar_members(raw, None, budget)
    raise Damaged(f"it is neither a zip nor a tar archive, and begins with {beginning[:12]!r}")
