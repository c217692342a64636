"""One attempt at a download, made only where a network answers within two seconds."""

import contextlib
import hashlib
import os
import threading
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

PROBE_SECONDS = 2.0
"""Longest wait for a name and a connection: a machine without a network is told apart by then."""

_STALL_SECONDS = 15.0
_CHUNK = 1 << 20
_OFFLINE_VARIABLES = ("PROVING_GROUND_OFFLINE", "HF_HUB_OFFLINE")
_reachable: dict[tuple[str, int], bool] = {}
_failures: dict[str, str] = {}


class DownloadFailed(Exception):
    """Why there is no file, as half a sentence."""


def download(url: str, target: Path, sha256_prefix: str | None) -> Path:
    """Fetch a file to a path, whole or not at all.

    A failure is remembered: each URL is tried once a process.

    Args:
        url: Where it is.
        target: Where it goes; its folder is made.
        sha256_prefix: First hex digits of its sha256, or None where the publisher states none.

    Raises:
        DownloadFailed: No network, no such file, a broken transfer, or another checksum.
    """
    if url in _failures:
        raise DownloadFailed(_failures[url])
    try:
        return _download(url, target, sha256_prefix)
    except DownloadFailed as failure:
        _failures[url] = str(failure)
        raise


def network_reaches(url: str) -> bool:
    """Whether a URL's host, or the proxy on the way to it, accepts a connection within 2 s.

    The answer holds for the process. ``PROVING_GROUND_OFFLINE=1`` or ``HF_HUB_OFFLINE=1`` say no.
    """
    if any(
        os.environ.get(name, "0").lower() not in {"", "0", "false"} for name in _OFFLINE_VARIABLES
    ):
        return False
    address = _first_hop(url)
    if address not in _reachable:
        _reachable[address] = _accepts(address)
    return _reachable[address]


def _first_hop(url: str) -> tuple[str, int]:
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    host, scheme = parts.hostname or "", parts.scheme
    proxy = getproxies().get(scheme)
    if proxy and not proxy_bypass(host):
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.hostname or "", port


def _accepts(address: tuple[str, int]) -> bool:
    import socket

    connected = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection(address, timeout=PROBE_SECONDS).close()
        except OSError:
            return
        connected.set()

    # Resolving a name has no timeout of its own, so it is left behind in a daemon thread.
    probe = threading.Thread(target=connect, daemon=True)
    probe.start()
    probe.join(PROBE_SECONDS)
    return connected.is_set()


def _download(url: str, target: Path, sha256_prefix: str | None) -> Path:
    if not network_reaches(url):
        raise DownloadFailed(f"no network was found on the way to {urlsplit(url).hostname}")
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            digest = _transfer(url, file)
        if sha256_prefix and not digest.startswith(sha256_prefix):
            raise DownloadFailed(
                f"what {url} sent has the sha256 {digest[:12]}…, not {sha256_prefix}…, so it was "
                "thrown away"
            )
        part.replace(target)
    except OSError as error:
        raise DownloadFailed(f"the download of {url} failed ({error})") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    return target


def _transfer(url: str, file: BinaryIO) -> str:
    from http.client import HTTPException
    from urllib.request import build_opener

    digest = hashlib.sha256()
    try:
        # urlopen's own opener remembers the proxies of its first use.
        with build_opener().open(url, timeout=_STALL_SECONDS) as response:
            announced = int(response.headers.get("Content-Length") or 0)
            while chunk := response.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
    except (HTTPException, ValueError) as error:
        raise DownloadFailed(f"the download of {url} failed ({error})") from error
    if file.tell() < announced:
        raise DownloadFailed(f"the transfer of {url} broke off after {file.tell()} bytes")
    return digest.hexdigest()
