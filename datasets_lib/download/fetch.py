"""Download files with resumption, retries and checksums; a file appears once it is complete."""

import errno
import hashlib
import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from datasets_lib.atomic import DISK_FULL, sync
from datasets_lib.download.network import unreachable
from datasets_lib.layouts.category import DatasetError

Progress = Callable[[int, int | None], None]
"""Called with the bytes received so far, and the total or None."""

_CHUNK = 1 << 18
_CHECKSUM = re.compile(r"(sha256|md5):([0-9a-f]{8,64})")
_TRANSIENT = {408, 429}
_RANGE_NOT_SATISFIABLE = 416
_MAX_PAUSE_SECONDS = 30.0


class DownloadError(DatasetError, OSError):
    """A file could not be downloaded; also an `OSError`, as callers of download code expect.

    Attributes:
        reason: The message without what to do; all of it if it has no such part.
    """

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(f"{reason} {advice}".rstrip())
        self.reason = reason


class _RefusedError(Exception):
    """A permanent failure; the message is a clause for the final error."""


class _InterruptedError(Exception):
    """A temporary failure; the message is a clause for the final error."""

    def __init__(self, reason: str, wait_seconds: float = 0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class Patience:
    """Limits of the attempts for each URL.

    Attributes:
        attempts: Maximum number of attempts.
        pause_seconds: Pause before the second attempt; doubled before each further one.
        stall_seconds: Maximum time without data from the server.
    """

    attempts: int = 5
    pause_seconds: float = 1.0
    stall_seconds: float = 15.0


@dataclass(frozen=True)
class _Expected:
    checksum: str | None
    size: int | None

    def __post_init__(self) -> None:
        if self.checksum is not None and not _CHECKSUM.fullmatch(self.checksum):
            raise ValueError(
                f"The checksum {self.checksum!r} cannot be understood: wanted 'sha256:' or 'md5:' "
                "and at least 8 hex digits in lower case. Correct it in the catalog."
            )

    def mismatch(self, file: Path) -> str | None:
        """Return how a file differs from the expected one, as a clause; None if it does not."""
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


def download(
    urls: str | Sequence[str],
    target: Path,
    *,
    checksum: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    patience: Patience = Patience(),
) -> Path:
    """Download a file completely or not at all; check an existing file and leave it.

    Bytes received before an interruption, even a kill, stay in ``NAME.part``. With a checksum, the
    next attempt resumes there, and starts over if the completed file does not match. If several
    processes want the same file, one downloads it and the others wait.

    Args:
        urls: Address, ``http(s)://`` or ``file://``, or several mirrors to try in turn.
        target: Path of the file; its folder is created.
        checksum: ``sha256:`` or ``md5:`` and the at least 8 hex digits of the digest.
        size: Length in bytes, if the publisher states it.
        progress: Called after every chunk.
        patience: Limits of the attempts for each URL.

    Returns:
        The target.

    Raises:
        DownloadError: The network or the file is missing, the transfer broke off, the checksum or
            size differs, the disk is full, or the target exists with other content.
        ValueError: The checksum is malformed.
    """
    mirrors = [urls] if isinstance(urls, str) else list(urls)
    expected = _Expected(checksum, size)
    part = target.with_name(f"{target.name}.part")
    lock = target.with_name(f".{target.name}.lock")
    try:
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock):
                if not target.exists():
                    _fetch_from_any(mirrors, part, expected, progress, patience)
                    sync(part)
                    part.replace(target)
            # The file is complete: later callers need no lock.
            lock.unlink(missing_ok=True)
        mismatch = expected.mismatch(target)
    except DownloadError:
        raise
    except OSError as error:
        full = error.errno in DISK_FULL
        raise DownloadError(
            f"Wanted to write the download {target}, found that "
            f"{f'the disk is full ({error.strerror})' if full else error}. "
            f"{'Make room there' if full else 'Make its folder writable'}, or name another folder."
        ) from error
    if mismatch is not None:
        raise DownloadError(
            f"Wanted {target} as its publisher has it, found a file there that has {mismatch}. "
            "Remove it to have it downloaded, or put the publisher's file in its place."
        )
    return target


def download_weights(url: str, target: Path, sha256_prefix: str | None) -> None:
    """Download pretrained weights, of whose digest some digits may be known; see `download`.

    Raises:
        DownloadError: As for `download`, without what to do: who asks for weights says that.
    """
    try:
        download(url, target, checksum=f"sha256:{sha256_prefix}" if sha256_prefix else None)
    except DownloadError as error:
        raise DownloadError(error.reason) from error


def _fetch_from_any(
    mirrors: Sequence[str],
    part: Path,
    expected: _Expected,
    progress: Progress | None,
    patience: Patience,
) -> None:
    reasons = []
    for url in mirrors:
        try:
            return _fetch(url, part, expected, progress, patience)
        except _RefusedError as refusal:
            reasons.append(str(refusal))
    resumable = part.exists() and expected.checksum is not None
    if not resumable:
        part.unlink(missing_ok=True)
    raise DownloadError(
        f"Wanted to download {part.stem}, found that {'; '.join(reasons)}."
        f"{' The next attempt resumes what was received.' if resumable else ''}",
        f"Try again with a network, or fetch {' or '.join(mirrors)} by other means and put it "
        f"into {part.parent}.",
    )


def _fetch(
    url: str, part: Path, expected: _Expected, progress: Progress | None, patience: Patience
) -> None:
    if (reason := unreachable(url)) is not None:
        raise _RefusedError(reason)
    for attempt in range(1, patience.attempts + 1):
        try:
            resumed = _transfer(url, part, expected, progress, patience.stall_seconds)
            if (mismatch := expected.mismatch(part)) is None:
                return
            part.unlink()
            reason = f"what {url} sent has {mismatch}, so it was discarded"
            # The pieces of two attempts may come from different files: start over.
            raise _InterruptedError(reason) if resumed else _RefusedError(reason)
        except _InterruptedError as interruption:
            if attempt == patience.attempts:
                raise _RefusedError(str(interruption)) from interruption
            pause = patience.pause_seconds * 2 ** (attempt - 1)
            time.sleep(min(max(pause, interruption.wait_seconds), _MAX_PAUSE_SECONDS))


def _transfer(
    url: str, part: Path, expected: _Expected, progress: Progress | None, stall_seconds: float
) -> bool:
    """Append the rest of a file to its part, or write all of it; return whether it resumed."""
    # Without a checksum, nothing could tell whether the old bytes belong to the same file.
    received = part.stat().st_size if expected.checksum and part.exists() else 0
    response = _open(url, received, stall_seconds)
    if response is None:  # the part is at least as long as the file
        return True
    with closing(response):
        resumed = getattr(response, "status", None) == 206
        received = received if resumed else 0
        length = response.headers.get("Content-Length", "")
        total = received + int(length) if length.isascii() and length.isdigit() else None
        if response.headers.get_content_type() == "text/html":
            raise _RefusedError(f"{url} sent an HTML page, such as an error or a login")
        if expected.size is not None and not resumed and total not in {None, expected.size}:
            raise _RefusedError(f"{url} has {total:,} bytes, not {expected.size:,}")
        if (total or 0) - received > shutil.disk_usage(part.parent).free:
            raise OSError(errno.ENOSPC, f"{total:,} bytes do not fit")
        with part.open("ab" if resumed else "wb") as file:
            while chunk := _next_chunk(response, url):
                file.write(chunk)
                received += len(chunk)
                if progress is not None:
                    progress(received, total)
    if total is not None and received < total:
        raise _InterruptedError(
            f"the transfer of {url} broke off after {received:,} of {total:,} bytes"
        )
    return resumed


def _open(url: str, start: int, stall_seconds: float) -> Any:
    """Return the response for a file from a byte on; None if it has no bytes there."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, build_opener

    try:
        request = Request(url, headers={"Accept-Encoding": "identity"})
        if start:
            request.add_header("Range", f"bytes={start}-")
        # urlopen's own opener remembers the proxies of its first use.
        return build_opener().open(request, timeout=stall_seconds)
    except HTTPError as error:
        error.close()
        if start and error.code == _RANGE_NOT_SATISFIABLE:
            return None
        reason = f"{url} answered {error.code} {error.reason}"
        if error.code in _TRANSIENT or error.code >= 500:
            seconds = error.headers.get("Retry-After", "")
            wait = float(seconds) if seconds.isascii() and seconds.isdigit() else 0
            raise _InterruptedError(reason, wait) from None
        raise _RefusedError(reason) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = f"{url} could not be opened ({error})"
        lasting = isinstance(error, ValueError) or urlsplit(url).scheme not in {"http", "https"}
        raise (_RefusedError if lasting else _InterruptedError)(reason) from error


def _next_chunk(response: Any, url: str) -> bytes:
    from http.client import HTTPException

    try:
        chunk: bytes = response.read1(_CHUNK)
    except (OSError, HTTPException) as error:
        raise _InterruptedError(f"the transfer of {url} broke off ({error})") from error
    return chunk
