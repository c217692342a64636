"""Ctrl-C, and the signal that ends a child process, act between two training steps."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], bool]]:
    """Let the block finish what it does when a signal asks the process to stop.

    A second signal acts at once, as without this. A signal that the process ignores, as Ctrl-C is
    ignored by what a shell started in the background, stays ignored. In other threads than the main
    one, which get no signals, it does nothing.

    Yields:
        Returns whether a signal came; the block then saves what it has and raises
        `KeyboardInterrupt`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    came: list[int] = []
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    before = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def defer(number: int, frame: Any) -> None:
        came.append(number)
        restore()

    for number in before:
        signal.signal(number, defer)
    try:
        yield lambda: bool(came)
    finally:
        restore()
