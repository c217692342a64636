"""One attempt to bring a file, or the rest of it, from a URL into a part file."""

import shutil
from collections.abc import Callable
from contextlib import closing
from email.message import Message
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Protocol
from urllib.parse import urlsplit

from datasets_lib.download.archives import is_html
from datasets_lib.download.part_file import PartFile, Version

Progress = Callable[[int, int | None], None]
"""Called with the bytes that came so far, and with those in all or None."""

_CHUNK = 1 << 18
_TRANSIENT = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
}


class Interrupted(Exception):
    """What may go better the next time; the message is half a sentence.

    Attributes:
        wait_seconds: How long the server asks to be left alone.
    """

    def __init__(self, reason: str, wait_seconds: float = 0) -> None:
        super().__init__(reason)
        self.wait_seconds = wait_seconds


class Refused(Exception):
    """What will not go better the next time; the message is half a sentence."""


class NoSpace(Exception):
    """The disk has no room for the file; the message is half a sentence."""


class _Response(Protocol):
    """What urllib answers with, for HTTP and for files."""

    headers: Message

    def read1(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


def transfer(
    url: str, part: PartFile, size: int | None, progress: Progress | None, stall_seconds: float
) -> bool:
    """Brings the rest of a file where the part file and the server agree on it, else all of it.

    Args:
        url: Where it is.
        part: Where it goes; held by the caller. Whole when this returns.
        size: Its length in bytes where that is known from elsewhere.
        progress: Called after every chunk.
        stall_seconds: How long the server may stay silent.

    Returns:
        Whether some of the bytes are from an earlier attempt.

    Raises:
        Interrupted: It broke off, and may go better the next time.
        Refused: It cannot go better the next time.
        NoSpace: The disk has not enough room.
        OSError: The part file cannot be written.
    """
    begun = part.resumable()
    if begun is not None and begun.url != url:
        begun = None
    if begun is not None and part.size == begun.total:
        return True
    with closing(_open(url, part, begun, stall_seconds)) as response:
        resumed = getattr(response, "status", None) == HTTPStatus.PARTIAL_CONTENT
        if resumed and not _continues(response, part, begun):
            part.begin(None)
            raise Interrupted(f"{url} sent another part of the file than was asked for")
        total = begun.total if resumed and begun else _announced(response)
        if response.headers.get_content_type() == "text/html":
            raise Refused(_html(url))
        if size is not None and total not in {None, size}:
            raise Refused(f"{url} has {total:,} bytes, not {size:,}")
        if not resumed:
            validator = _validator(response)
            part.begin(Version(url, validator, total) if validator and total else None)
        _check_space(part, total or size or 0)
        _receive(response, url, part, total, progress)
    return resumed


def _open(url: str, part: PartFile, begun: Version | None, stall_seconds: float) -> _Response:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, build_opener

    try:
        request = Request(url, headers={"Accept-Encoding": "identity"})
        if begun is not None:
            request.add_header("Range", f"bytes={part.size}-")
            request.add_header("If-Range", begun.validator)
        # urlopen's own opener remembers the proxies of its first use.
        response: _Response = build_opener().open(request, timeout=stall_seconds)
    except HTTPError as error:
        with closing(error):
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.begin(None)
            reason = f"{url} answered {error.code} {error.reason}"
            if error.code in _TRANSIENT or error.code >= 500:
                raise Interrupted(reason, _retry_after(error.headers)) from None
            raise Refused(reason) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = f"{url} could not be opened ({error})"
        lasting = isinstance(error, ValueError) or urlsplit(url).scheme not in {"http", "https"}
        raise (Refused if lasting else Interrupted)(reason) from error
    return response


def _continues(response: _Response, part: PartFile, begun: Version | None) -> bool:
    """Whether a partial answer is the rest of what was begun."""
    if begun is None or _validator(response) != begun.validator:
        return False
    wanted = f"bytes {part.size}-{begun.total - 1}/{begun.total}"
    announced = _announced(response)
    return response.headers.get("Content-Range", "").strip() == wanted and (
        announced is None or announced == begun.total - part.size
    )


def _announced(response: _Response) -> int | None:
    length = response.headers.get("Content-Length", "").strip()
    return int(length) if length.isascii() and length.isdigit() else None


def _validator(response: _Response) -> str | None:
    """What tells this version from others to the byte: weak ETags do not."""
    etag, modified = response.headers.get("ETag"), response.headers.get("Last-Modified")
    if etag and etag.startswith('"'):
        return etag
    return modified if modified and _settled(modified, response.headers.get("Date")) else None


def _settled(modified: str, date: str | None) -> bool:
    """Whether a file is older than its answer: within one second it may have two versions."""
    try:
        return date is not None and parsedate_to_datetime(modified) < parsedate_to_datetime(date)
    except (ValueError, TypeError):
        return False


def _retry_after(headers: Message) -> float:
    seconds = headers.get("Retry-After", "").strip()
    return float(seconds) if seconds.isascii() and seconds.isdigit() else 0.0


def _check_space(part: PartFile, total: int) -> None:
    wanted, free = total - part.size, shutil.disk_usage(part.path.parent).free
    if wanted > free:
        raise NoSpace(f"it needs {wanted:,} bytes more and {free:,} are free")


def _receive(
    response: _Response, url: str, part: PartFile, total: int | None, progress: Progress | None
) -> None:
    done = part.size
    # The client would stop at the announced length; one byte more shows that it was a lie.
    if isinstance(length := getattr(response, "length", None), int):
        response.length = length + 1  # type: ignore[attr-defined]
    with part.path.open("ab") as file:
        while total is None or done <= total:
            chunk = _next_chunk(response, url, done, total)
            if not chunk:
                break
            file.write(chunk)
            done += len(chunk)
            if progress is not None and (total is None or done <= total):
                progress(done, total)
    if total is not None and done > total:
        part.begin(None)
        raise Refused(f"{url} sent more than the {total:,} bytes it announced")
    if total is not None and done < total:
        raise Interrupted(f"the transfer of {url} broke off after {done:,} of {total:,} bytes")
    with part.path.open("rb") as file:
        if is_html(file.read(1024)):
            part.begin(None)
            raise Refused(_html(url))


def _next_chunk(response: _Response, url: str, done: int, total: int | None) -> bytes:
    from http.client import HTTPException

    try:
        return response.read1(_CHUNK)
    except (OSError, HTTPException) as error:
        if done == total:
            return b""  # a server that keeps the connection open has nothing more to say
        of = "" if total is None else f" of {total:,}"
        raise Interrupted(
            f"the transfer of {url} broke off after {done:,}{of} bytes ({error})"
        ) from error


def _html(url: str) -> str:
    return f"{url} sent an HTML page, such as an error or a login, in place of the file"
