"""Find out within two seconds whether a URL can be reached.

``PROVING_GROUND_OFFLINE=1`` or ``HF_HUB_OFFLINE=1`` forbid the network.
"""

import os
import threading
from contextlib import suppress
from urllib.parse import urlsplit

PROBE_SECONDS = 2.0
"""Maximum wait for name resolution and connection together."""

_OFFLINE_VARIABLES = ("PROVING_GROUND_OFFLINE", "HF_HUB_OFFLINE")
_reachable: dict[tuple[str, int], bool] = {}


def unreachable(url: str) -> str | None:
    """Return why a URL cannot be reached, as a clause; None if it can.

    Tries to connect to its host, or to the proxy for it, for at most 2 s, and remembers the answer
    for the life of the process. A ``file://`` URL needs no network.

    Example:
        >>> unreachable("file:///mirror/weights.pth") is None
        True
    """
    if urlsplit(url).scheme == "file":
        return None
    for name in _OFFLINE_VARIABLES:
        if os.environ.get(name, "0").lower() not in {"", "0", "false"}:
            return f"{name} forbids the network"
    try:
        address = _first_hop(url)
    except ValueError as error:
        return f"{url} cannot be reached ({error})"
    if address not in _reachable:
        _reachable[address] = _accepts(address)
    return None if _reachable[address] else f"there is no network connection to {address[0]}"


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
        with suppress(OSError), socket.create_connection(address, timeout=PROBE_SECONDS):
            connected.set()

    # Name resolution has no timeout: a daemon thread is abandoned if it hangs.
    probe = threading.Thread(target=connect, daemon=True)
    probe.start()
    probe.join(PROBE_SECONDS)
    return connected.is_set()
