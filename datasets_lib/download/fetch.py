"""Fetching a file so that what has its name is finished: resumed, retried, checked, renamed."""

import errno
import hashlib
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets_lib.download.http_transfer import Interrupted, NoSpace, Progress, Refused, transfer
from datasets_lib.download.network import unreachable
from datasets_lib.download.part_file import PartFile
from datasets_lib.layouts.category import DatasetError

_CHECKSUM = re.compile(r"(sha256|md5):([0-9a-f]{8,64})")
_FULL = {errno.ENOSPC, errno.EDQUOT}


class DownloadError(DatasetError, OSError):
    """A file could not be fetched.

    An `OSError` too, for those who take a download as any function that fetches files.
    """


@dataclass(frozen=True)
class Patience:
    """How long to bear with a server.

    Attributes:
        attempts: Most attempts for each URL.
        pause_seconds: Before the second attempt; twice as long before each further one.
        longest_pause_seconds: Limit of a pause, also of one that the server asks for.
        stall_seconds: How long the server may stay silent.
    """

    attempts: int = 5
    pause_seconds: float = 1.0
    longest_pause_seconds: float = 30.0
    stall_seconds: float = 15.0


def download(
    urls: str | Sequence[str],
    target: Path,
    *,
    checksum: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    patience: Patience = Patience(),
) -> Path:
    """Fetches a file, whole or not at all; one that is there already stays, and is checked.

    What came before an interruption, even the death of the process, stays in ``NAME.part`` where
    the server tells one version of the file from another, and the next call goes on from there.
    Several processes may ask for one file: one fetches it, the others wait.

    Args:
        urls: Where it is, ``http(s)://`` or ``file://``; several are tried in turn.
        target: Where it goes; its folder is made.
        checksum: ``sha256:`` or ``md5:`` and the digest in hex, or its first 8 digits or more.
        size: Its length in bytes, where the publisher states it.
        progress: Called with the bytes that came so far, and with those in all or None.
        patience: With each of the URLs.

    Returns:
        The target.

    Raises:
        DownloadError: No network, no such file, a broken transfer, another checksum or size, a full
            disk; or the target is there but is another file.
        ValueError: A checksum that cannot be understood.
    """
    mirrors = [urls] if isinstance(urls, str) else list(urls)
    wanted = _Wanted(checksum, size)
    if target.exists():
        return _checked(target, wanted)
    part = PartFile(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.held():
            if not target.exists():
                _fetch_from_any(mirrors, part, wanted, progress, patience)
                part.finish()
    except DownloadError:
        raise
    except (OSError, NoSpace) as error:
        full = isinstance(error, NoSpace) or error.errno in _FULL
        raise DownloadError(
            f"Wanted to write the download {target}, found that "
            f"{f'the disk is full ({error})' if full else error}. "
            f"{'Make room there' if full else 'Make its folder writable'}, or name another folder."
        ) from error
    return target


@dataclass(frozen=True)
class _Wanted:
    checksum: str | None
    size: int | None

    def __post_init__(self) -> None:
        if self.checksum is not None and not _CHECKSUM.fullmatch(self.checksum):
            raise ValueError(
                f"The checksum {self.checksum!r} cannot be understood: wanted 'sha256:' or 'md5:' "
                "and at least 8 hex digits in lower case. Correct it in the catalog."
            )

    def mismatch(self, file: Path) -> str | None:
        """How a file differs from what is wanted, as half a sentence."""
        size = file.stat().st_size
        if self.size is not None and size != self.size:
            return f"{size:,} bytes, not {self.size:,}"
        if self.checksum is None:
            return None
        kind, _, expected = self.checksum.partition(":")
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, kind).hexdigest()
        if digest.startswith(expected):
            return None
        return f"the {kind} {digest[:12]}…, not {expected[:12]}{'…' if expected[12:] else ''}"


def _checked(target: Path, wanted: _Wanted) -> Path:
    if (mismatch := wanted.mismatch(target)) is not None:
        raise DownloadError(
            f"Wanted {target} as its publisher has it, found a file there that has {mismatch}. "
            "Remove it to have it downloaded, or put the publisher's file in its place."
        )
    return target


def _fetch_from_any(
    mirrors: Sequence[str],
    part: PartFile,
    wanted: _Wanted,
    progress: Progress | None,
    patience: Patience,
) -> None:
    begun = part.resumable()
    reasons = []
    # First the one that has sent some of it already.
    for url in sorted(mirrors, key=lambda url: begun is None or url != begun.url):
        try:
            _fetch(url, part, wanted, progress, patience)
        except Refused as refusal:
            reasons.append(str(refusal))
        else:
            return
    kept = part.resumable()
    raise DownloadError(
        f"Wanted to download {part.path.stem}, found that {'; '.join(reasons)}. "
        f"{'The next attempt goes on from what came. ' if kept else ''}"
        f"Try again with a network, or fetch {' or '.join(mirrors)} by other means and put it "
        f"into {part.path.parent}."
    )


def _fetch(
    url: str,
    part: PartFile,
    wanted: _Wanted,
    progress: Progress | None,
    patience: Patience,
) -> None:
    if (reason := unreachable(url)) is not None:
        raise Refused(reason)
    pause = patience.pause_seconds
    for remaining in reversed(range(patience.attempts)):
        try:
            resumed = transfer(url, part, wanted.size, progress, patience.stall_seconds)
            return _check_content(url, part, wanted, resumed)
        except Interrupted as interruption:
            if not remaining:
                raise Refused(str(interruption)) from interruption
            asked = interruption.wait_seconds
        time.sleep(min(max(pause, asked), patience.longest_pause_seconds))
        pause *= 2
    return None


def _check_content(url: str, part: PartFile, wanted: _Wanted, resumed: bool) -> None:
    if (mismatch := wanted.mismatch(part.path)) is not None:
        part.begin(None)
        reason = f"what {url} sent has {mismatch}, so it was thrown away"
        # The pieces of two attempts may not belong together.
        raise Interrupted(reason) if resumed else Refused(reason)
