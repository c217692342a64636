"""Ctrl-C, and the signal that ends a child process, act between two training steps."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], bool]]:
    """Let the block finish its work when a signal asks the process to stop.

    A second signal acts at once, as it would outside the block. A signal that the process ignores,
    such as Ctrl-C in a shell's background job, stays ignored. It does nothing in threads other than
    the main one, which get no signals.

    Yields:
        Function that returns whether a signal arrived; the block then saves its state and raises
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
