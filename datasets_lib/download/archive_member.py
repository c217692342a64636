"""What archives hold, and the rules a member must keep to be unpacked."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from datasets_lib.layouts.category import DatasetError

_LONGEST_NAME = 255
_LONGEST_PATH = 1024
_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]")
_SURROGATE = re.compile("[\\ud800-\\udfff]")
_DRIVE = re.compile("[A-Za-z]:")
_MOST_MEMBERS = 2_000_000
_HARMLESS_BYTES = 64 << 20
_LARGEST_RATIO = 200


class UnsafeArchiveError(DatasetError):
    """An archive holds what is never unpacked, such as a link or a path out of its folder."""


class DamagedArchiveError(DatasetError):
    """An archive is broken, breaks off, or is not an archive at all."""


class Unsafe(Exception):
    """What makes an archive unsafe, as half a sentence."""


class Damaged(Exception):
    """What is wrong with an archive, as half a sentence."""


@dataclass(frozen=True)
class Member:
    """A file or folder of an archive.

    Attributes:
        name: As stored.
        is_folder: Whether it is one.
        chunks: Its content, to be read before the next member is asked for.
    """

    name: str
    is_folder: bool
    chunks: Iterator[bytes]


@dataclass
class Budget:
    """Keeps bombs from going off: what is unpacked must stay in proportion.

    More than 200 times the archive's size is a bomb once it is more than 64 MiB.

    Attributes:
        archive_bytes: Size of the archive.
        limit_bytes: Most that may come out of it, or None.
    """

    archive_bytes: int
    limit_bytes: int | None
    _taken: int = 0
    _members: int = 0

    def check_total(self, total: int) -> None:
        """Raises `Unsafe` if so many bytes of members in all are too many."""
        if self.limit_bytes is not None and total > self.limit_bytes:
            raise Unsafe(f"it unpacks to more than the limit of {self.limit_bytes:,} bytes")
        self.check_ratio(total)

    def check_ratio(self, total: int) -> None:
        """Raises `Unsafe` if so many bytes are out of proportion to the archive's."""
        if total > max(_HARMLESS_BYTES, _LARGEST_RATIO * self.archive_bytes):
            raise Unsafe(
                f"its {self.archive_bytes:,} bytes unpack to {total:,} or more, as those of a "
                "decompression bomb do"
            )

    def take(self, count: int) -> None:
        """Counts bytes of a member; raises `Unsafe` if they are too many."""
        self._taken += count
        self.check_total(self._taken)

    def take_member(self) -> None:
        """Counts a member; raises `Unsafe` if they are too many."""
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise Unsafe(f"it has more than {_MOST_MEMBERS:,} members")


@dataclass
class MemberPaths:
    """The paths an archive's members are unpacked to, no two of them alike.

    Names alike but for case or Unicode normalization count as one: on some file systems they are.

    Attributes:
        strip: Folder that all members are in and that is left away, or None.
    """

    strip: str | None
    _taken: dict[str, tuple[str, bool]] = field(default_factory=dict)

    def place(self, member: Member) -> PurePosixPath:
        """Where a member goes, relative to the target; ``.`` is the target itself.

        Raises:
            Unsafe: Its name leads out, cannot be written everywhere, or is taken.
            Damaged: It lies outside the folder to strip.
        """
        parts = _parts(member.name)
        for depth in range(1, len(parts) + 1):
            self._take("/".join(parts[:depth]), member.is_folder or depth < len(parts))
        stripped = self.strip.split("/") if self.strip else []
        if parts[: len(stripped)] == stripped and (member.is_folder or len(parts) > len(stripped)):
            return PurePosixPath(*parts[len(stripped) :])
        if member.is_folder and parts == stripped[: len(parts)]:
            return PurePosixPath()
        raise Damaged(f"{member.name!r} is not in its folder {self.strip}")

    def _take(self, path: str, is_folder: bool) -> None:
        key = _alike(path)
        if key not in self._taken:
            self._taken[key] = (path, is_folder)
        elif not is_folder or self._taken[key] != (path, True):
            raise Unsafe(f"it has {self._taken[key][0]!r} and {path!r} for one place")


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in {"", "."}]
    for wrong, found in (
        ("a control character", _CONTROL.search(name)),
        ("bytes that are not UTF-8", _SURROGATE.search(name)),
        ("a backslash", "\\" in name),
        ("an absolute path", name.startswith("/") or _DRIVE.match(name)),
        ("a path out of its folder", ".." in parts),
        ("a path too long for a file system", _bytes(name) > _LONGEST_PATH),
        ("a name too long for a file system", any(_bytes(p) > _LONGEST_NAME for p in parts)),
    ):
        if found:
            shown = name if len(name) <= 80 else f"{name[:80]}…"
            raise Unsafe(f"the member {shown!r} has {wrong}")
    return parts


def _bytes(name: str) -> int:
    return len(name.encode("utf-8", "replace"))


def _alike(path: str) -> str:
    decomposed = unicodedata.normalize("NFD", path)
    return unicodedata.normalize("NFC", decomposed.casefold())
